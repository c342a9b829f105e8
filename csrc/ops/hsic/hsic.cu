// HSIC of two representations on the device: prepares both, sums over tiles, then does the algebra in one block of
// threads.
#include "engine/instructions/block_sums.cuh"
#include "ops/dispatch/check_matrix.hpp"
#include "ops/dispatch/visit_operand.cuh"
#include "ops/gram/gram_sums.cuh"
#include "ops/hsic/hsic_algebra.cuh"
#include "ops/hsic/row_limits.cuh"
#include "ops/median/median.cuh"

namespace gramless::cuda {
namespace {

constexpr int finish_threads = 512;

template <class Operand>
struct FinishTask {
  DeviceLayer<Operand> layers[2];
  std::int64_t n;
  bool biased;
  const double* products;  // (3) over i < j
  double* row_sums;        // (2, n); biased, they get the diagonal
  double* values;          // (3)
  double* spreads;         // (2) or null
};

// Products of two layers' row sums and of their diagonals (xy, xx, yy), and the totals.
struct RowProducts {
  double rows[3], diagonals[3], totals[2];
};

// Mean k_ii - mean k_ij over i != j, which does not depend on the kernel's shift.
__device__ double spread_of(double trace, double total, double n, bool biased) {
  return trace / n - (total - (biased ? trace : 0)) / (n * (n - 1));
}

__device__ double hsic_of_pair(const RowProducts& sums, double product, int pair, int first, int second, double n,
                               bool biased) {
  const double both = 2 * product + sums.diagonals[pair];  // tiles have only i < j
  return hsic_of({both, sums.rows[pair], sums.totals[first], sums.totals[second]}, n, biased);
}

template <class Operand>
__global__ void __launch_bounds__(finish_threads) finish_hsic(FinishTask<Operand> task) {
  const std::int64_t n = task.n;
  double sums[10] = {};
  for (std::int64_t i = threadIdx.x; i < n; i += finish_threads) {
    double r[2], d[2];
    for (int layer = 0; layer < 2; layer++) {
      const double own = diagonal(task.layers[layer], i);
      sums[8 + layer] += own;
      d[layer] = task.biased ? own : 0;
      r[layer] = task.row_sums[layer * n + i] += d[layer];
      sums[6 + layer] += r[layer];
    }
    sums[0] += r[0] * r[1];
    sums[1] += r[0] * r[0];
    sums[2] += r[1] * r[1];
    sums[3] += d[0] * d[1];
    sums[4] += d[0] * d[0];
    sums[5] += d[1] * d[1];
  }
  sum_over_block(sums, shared_memory<double>());
  if (threadIdx.x != 0) return;
  const RowProducts rows{{sums[0], sums[1], sums[2]}, {sums[3], sums[4], sums[5]}, {sums[6], sums[7]}};
  const auto &x = *task.layers[0].kernel, &y = *task.layers[1].kernel;
  const double count = static_cast<double>(n);
  task.values[0] = x.unit * y.unit * hsic_of_pair(rows, task.products[0], 0, 0, 1, count, task.biased);
  const double xx = x.unit * x.unit * hsic_of_pair(rows, task.products[1], 1, 0, 0, count, task.biased);
  const double yy = y.unit * y.unit * hsic_of_pair(rows, task.products[2], 2, 1, 1, count, task.biased);
  task.values[1] = unless_rounding(xx, task.products[1], rows.totals[0], x, count);
  task.values[2] = unless_rounding(yy, task.products[2], rows.totals[1], y, count);
  if (task.spreads == nullptr) return;
  task.spreads[0] = x.unit * spread_of(sums[8], rows.totals[0], count, task.biased);
  task.spreads[1] = y.unit * spread_of(sums[9], rows.totals[1], count, task.biased);
}

template <class Operand>
class Hsic {
 public:
  explicit Hsic(const HsicTask& task, void* scratch = nullptr)
      : task_(task),
        layout_(scratch),
        x_(task.x, layout_),
        y_(task.y, layout_),
        median_(task.x.rows, layout_),
        sums_(task.x.rows, task.busy_blocks, layout_) {
    squared_sigma_ = layout_.take<double>(2);
    products_ = layout_.take<double>(3);
    row_sums_ = task.row_sums ? task.row_sums : layout_.take<double>(2 * task.x.rows);
  }

  std::size_t bytes() const { return layout_.bytes(); }

  const char* run(void* stream) const {
    LaunchStream launches(stream);
    x_.pack(launches);
    y_.pack(launches);
    resolve_layers<Operand>({resolving(x_, task_.kernel_x, 0, launches), resolving(y_, task_.kernel_y, 1, launches)},
                            task_.x.rows, launches);
    const bool of_root = is_of_root(task_.kernel_x.formula) || is_of_root(task_.kernel_y.formula);
    sums_.run(x_.layer(), y_.layer(), of_root, products_, row_sums_, launches);
    const FinishTask<Operand> finish{{x_.layer(), y_.layer()},
                                     task_.x.rows,
                                     task_.estimator == Estimator::biased,
                                     products_,
                                     row_sums_,
                                     task_.values,
                                     task_.spreads};
    launches.launch(finish_hsic<Operand>, {1}, finish_threads, 10 * finish_threads / warp_lanes * sizeof(double),
                    finish);
    return launches.error();
  }

 private:
  ResolveTask<Operand> resolving(const DeviceRepresentation<Operand>& x, const KernelSpec& kernel, int layer,
                                 LaunchStream& launches) const {
    double* const squared_sigma = squared_sigma_ + layer;
    if (kernel.wants_median()) median_.run(x.layer(), kernel.include_diagonal, squared_sigma, launches);
    return x.resolving(kernel, squared_sigma, task_.bandwidths ? task_.bandwidths + layer : nullptr);
  }

  HsicTask task_;
  DeviceLayout layout_;
  DeviceRepresentation<Operand> x_, y_;
  DeviceMedian<Operand> median_;
  GramSums<Operand> sums_;
  double *squared_sigma_, *products_, *row_sums_;
};

const char* error_in_hsic(const HsicTask& task) {
  if (const char* error = error_in_matrix(task.x, task.operand)) return error;
  if (const char* error = error_in_matrix(task.y, task.operand)) return error;
  if (task.x.rows != task.y.rows) return "hsic: x and y differ in rows";
  if (const char* error = too_many_for_rounds(task.x.rows, task.operand)) return error;
  if (task.x.rows < (task.estimator == Estimator::biased ? 2 : 4)) return "hsic: too few rows for the estimator";
  return nullptr;
}

}  // namespace

std::size_t hsic_scratch_bytes(const HsicTask& task) {
  if (error_in_hsic(task) != nullptr) return 0;
  return visit_operand(task.operand, [&]<class Operand>() { return Hsic<Operand>(task).bytes(); });
}

const char* hsic(const HsicTask& task, void* scratch, void* stream) {
  if (const char* error = error_in_hsic(task)) return error;
  return visit_operand(task.operand, [&]<class Operand>() { return Hsic<Operand>(task, scratch).run(stream); });
}

}  // namespace gramless::cuda
