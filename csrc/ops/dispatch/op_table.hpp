// The tile operations of one ISA. Plain data and function pointers only: code compiled for every CPU and code compiled
// for one ISA share these types, so they must not contain library code. Void pointers point to the compute type of the
// call.
#pragma once

#include <cstddef>
#include <cstdint>

#include "epilogues/kernel.hpp"
#include "ops/dispatch/contrast_tasks.hpp"
#include "ops/dispatch/distill_tasks.hpp"
#include "ops/dispatch/neighbor_tasks.hpp"
#include "ops/dispatch/sigmoid_tasks.hpp"
#include "support/array.hpp"
#include "support/compute.hpp"
#include "support/monitor.hpp"
#include "support/parts.hpp"
#include "support/shared.hpp"

namespace gramless {

struct Execution {
  Compute compute = Compute::float32;
  int threads = 1;
  Monitor monitor;
};

// One representation as the tile operations see it.
struct LayerView {
  ArrayView x;                        // (n, d)
  const void* center_high = nullptr;  // (d) column means, in two parts
  const void* center_low = nullptr;
  const void* row_stats = nullptr;  // (n), padded by stat_padding: |x_i - mean|^2, half of it for RBF
  Kernel kernel;
  double shift = 0;  // subtracted from every kernel value: leaves HSIC unchanged, keeps the digits of float32 sums
  // Memory of layer_dots_bytes in which a pass of the median leaves the dot products of all tiles i <= j; null: they
  // are not kept.
  void* dots = nullptr;
};
constexpr std::int64_t stat_padding = 64;

// Neighbouring rows of one fold, no more than a tile has.
struct FoldBlock {
  std::int64_t first;
  int rows;
  std::int64_t fold;
};

// sum_{i<j} of kernel values, their products and their row sums, for layers_x against layers_y (none: x with itself),
// by the folds of i and of j. Sums are added to the arrays' contents.
struct GramSumsTask {
  const LayerView* layers;  // x, then y
  std::int64_t layers_x, layers_y;
  const FoldBlock* blocks;  // (block_count): all rows in their order, fold after fold
  std::int64_t block_count, folds;
  double* products;       // (folds, folds, x, y or x): sum_{i<j} K_ij L_ij; of x with itself only for column >= row
  double* self_products;  // (folds, folds, x + y): sum_{i<j} K_ij^2
  double* row_sums;       // (x + y, folds, n): sum_{j != i, j in the fold} K_ij
  Parts parts;
};

// |X' Y|_F^2 of centred layers, for every pair as above.
struct CovarianceSumsTask {
  const LayerView* layers;
  std::int64_t layers_x, layers_y;
  double* products;
  double* self_products;  // followed by |x_i - mean|^2 (x + y, n) of layers without row_stats: all parts are wanted
  Parts parts;
  double* covariances = nullptr;  // (features of all layers, the same), for the parts' rows; null: not returned
};

// grads_a += sum_b of layer b's centred rows times the rows of matrices_a that belong to its features.
struct CovarianceGradTask {
  const LayerView* layers;
  std::int64_t count;
  const double* coefficients;   // (layers, layers): where it is 0, so are b's rows of matrices_a
  const void* const* matrices;  // (layers): (features of all layers, stride) of the compute type, in whole lines
  const std::int64_t* strides;  // (layers)
  void* const* grads;           // (layers): (n, d) of the compute type; null where none is wanted
};

// One pass over the squared distances between rows i < j. A nonnegative float's bits order as the float does.
struct DistancePass {
  LayerView layer;       // row_stats: |x_i|^2
  bool dots_known;       // layer.dots, if there are any, are read instead of written
  std::uint64_t first;   // bits of the smallest distance counted
  std::uint64_t* below;  // how many distances are smaller
  std::uint64_t* nans;
};

// A histogram of the distances. Counts are added to the array's contents.
struct DistanceCountsTask {
  DistancePass pass;
  double noise;  // times |x_i|^2 + |x_j|^2: distances up to it count as 0
  int shift;     // a bin is 2^shift neighbouring floats
  std::int64_t bins;
  std::uint64_t* counts;  // (bins)
};

// Collects the distances from the first to the last one, in no fixed order.
struct CollectDistancesTask {
  DistancePass pass;
  std::uint64_t last;  // bits
  void* values;        // (capacity) of the compute type
  std::uint64_t capacity;
  std::uint64_t* inside;  // their number, even if it exceeds the capacity
};

// d_x of a loss whose derivative with respect to layer a's kernel value of rows i != j is sum_b coefficients_ab value_b
// + row_terms_a[i] + row_terms_a[j] + constants_a, as sums over pairs: weights of the pairs times centred rows.
// finish_kernel_grad does the rest.
struct KernelGradTask {
  const LayerView* layers;
  std::int64_t count;
  const double* coefficients;    // (layers, layers)
  const void* const* row_terms;  // (layers): (n) of the compute type, padded by stat_padding
  const double* constants;       // (layers)
  const double* units;           // (layers): tiles hold kernel values as k / unit - shift
  void* const* grads;            // (layers): (n, d) of the compute type, zero at first; null where none is wanted
  double* weight_sums;           // (layers, n): sums over the pairs of each row, zero at first
};

// grad_i = factor grad_i + row_factors[i] (x_i - mean) + center_factors[i] mean, in place.
struct FinishKernelGradTask {
  LayerView layer;
  double factor;
  const double* row_factors;               // (n)
  void* grad;                              // (n, d)
  const double* center_factors = nullptr;  // (n); null: zeros
};

struct OpTable {
  const char* name;
  const OpTable* any_range;  // the table for data too large or too small for this one's products; null: there is none
  void (*column_sums)(const ArrayView& x, const Execution& execution, double* sums);     // (d): sum_i (x_i - x_0)
  void (*row_norms)(const LayerView& layer, const Execution& execution, double* norms);  // (n): |x_i - mean|^2
  // The same, rounded like a tile's dot products, so that the distance of equal rows is exactly 0.
  void (*tile_norms)(const LayerView& layer, const Execution& execution, double* norms);
  // Squared distances of `count` given pairs of rows; pairs (count, 2).
  void (*pair_distances)(const LayerView& layer, const Execution& execution, const std::int64_t* pairs,
                         std::int64_t count, double* distances);
  void (*gram_sums)(const GramSumsTask& task, const Execution& execution);
  void (*covariance_sums)(const CovarianceSumsTask& task, const Execution& execution);
  void (*covariance_grad)(const CovarianceGradTask& task, const Execution& execution);
  void (*count_distances)(const DistanceCountsTask& task, const Execution& execution);
  void (*collect_distances)(const CollectDistancesTask& task, const Execution& execution);
  std::size_t (*layer_dots_bytes)(std::int64_t rows, Compute compute);  // 0: none are kept
  void (*kernel_grad)(const KernelGradTask& task, const Execution& execution);
  void (*finish_kernel_grad)(const FinishKernelGradTask& task, const Execution& execution);
  void (*unit_rows)(const UnitRowsTask& task, const Execution& execution);
  void (*row_products)(const RowProductsTask& task, const Execution& execution);
  void (*hardest_limits)(const HardestLimitsTask& task, const Execution& execution);
  // How many bytes the dot products of all pairs take, for callers that keep them.
  std::size_t (*dots_bytes)(const PairProblem& pairs, const Execution& execution);
  void (*softmax_sums)(const SoftmaxSumsTask& task, const Execution& execution);
  void (*softmax_grad)(const SoftmaxGradTask& task, const Execution& execution);
  void (*distill_sums)(const DistillSumsTask& task, const Execution& execution);
  void (*distill_grad)(const DistillGradTask& task, const Execution& execution);
  void (*sigmoid_pairs)(const SigmoidPairsTask& task, const Execution& execution);
  void (*finish_grad)(const FinishGradTask& task, const Execution& execution);
  void (*nearest_rows)(const NearestRowsTask& task, const Execution& execution);
  void (*measured_rows)(const MeasuredRowsTask& task, const Execution& execution);
  void (*chosen_rows)(const ChosenRowsTask& task, const Execution& execution);
  void (*scanned_rows)(const ScannedRowsTask& task, const Execution& execution);
  void (*row_cosines)(const RowCosinesTask& task, const Execution& execution);
};

// The table for products of rows that need not be of unit length.
inline const OpTable& table_for(bool unit_rows, const OpTable& ops) {
  return unit_rows || ops.any_range == nullptr ? ops : *ops.any_range;
}

}  // namespace gramless
