// The operations each ISA's build defines; backends.cpp collects them into an OpTable per ISA.
#pragma once

#include "engine/instructions/simd.hpp"
#include "ops/dispatch/op_table.hpp"

namespace gramless {
inline namespace GRAMLESS_ISA {

void column_sums(const ArrayView& x, const Execution& execution, double* sums);
void row_norms(const LayerView& layer, const Execution& execution, double* norms);
void tile_norms(const LayerView& layer, const Execution& execution, double* norms);
void pair_distances(const LayerView& layer, const Execution& execution, const std::int64_t* pairs, std::int64_t count,
                    double* distances);
void gram_sums(const GramSumsTask& task, const Execution& execution);
void covariance_sums(const CovarianceSumsTask& task, const Execution& execution);
void covariance_grad(const CovarianceGradTask& task, const Execution& execution);
void count_distances(const DistanceCountsTask& task, const Execution& execution);
void collect_distances(const CollectDistancesTask& task, const Execution& execution);
std::size_t layer_dots_bytes(std::int64_t rows, Compute compute);
void kernel_grad(const KernelGradTask& task, const Execution& execution);
void finish_kernel_grad(const FinishKernelGradTask& task, const Execution& execution);
void unit_rows(const UnitRowsTask& task, const Execution& execution);
void row_products(const RowProductsTask& task, const Execution& execution);
void hardest_limits(const HardestLimitsTask& task, const Execution& execution);
std::size_t dots_bytes(const PairProblem& pairs, const Execution& execution);
void softmax_sums(const SoftmaxSumsTask& task, const Execution& execution);
void softmax_grad(const SoftmaxGradTask& task, const Execution& execution);
void distill_sums(const DistillSumsTask& task, const Execution& execution);
void distill_grad(const DistillGradTask& task, const Execution& execution);
void sigmoid_pairs(const SigmoidPairsTask& task, const Execution& execution);
void finish_grad(const FinishGradTask& task, const Execution& execution);
void nearest_rows(const NearestRowsTask& task, const Execution& execution);
void measured_rows(const MeasuredRowsTask& task, const Execution& execution);
void chosen_rows(const ChosenRowsTask& task, const Execution& execution);
void scanned_rows(const ScannedRowsTask& task, const Execution& execution);
void row_cosines(const RowCosinesTask& task, const Execution& execution);

}  // namespace GRAMLESS_ISA
}  // namespace gramless
