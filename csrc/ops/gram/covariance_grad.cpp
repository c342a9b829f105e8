// Gradients of linear HSIC in feature space: centred rows of every layer times matrices of its features, a block of
// rows at a time.
#include "ops/dispatch/isa_ops.hpp"
#include "ops/dispatch/scratch.hpp"
#include "ops/gram/centered_values.hpp"
#include "reductions/times_rows.hpp"

namespace gramless {
inline namespace GRAMLESS_ISA {
namespace {

template <class T>
class CovarianceGradWalk {
 public:
  CovarianceGradWalk(const CovarianceGradTask& task, const Execution& execution)
      : task_(task), execution_(execution), blocks_{task.layers[0].x.rows, block_rows} {}

  void run() const {
    double products = 0;
    for (std::int64_t a = 0; a < task_.count; a++)
      for (std::int64_t b = 0; b < task_.count; b++)
        if (wanted(a, b)) products += static_cast<double>(width(a)) * static_cast<double>(width(b));
    const WalkPlan plan{.tasks = blocks_.count(),
                        .flops = 2 * products * static_cast<double>(blocks_.n),
                        .scratch_bytes = static_cast<std::size_t>(block_rows * chunk_stride) * sizeof(T),
                        .threads = execution_.threads,
                        .monitor = execution_.monitor};
    walk(
        plan,
        [&](std::int64_t block, char* memory, char*, Worker& worker) {
          std::int64_t first_feature = 0;
          for (std::int64_t b = 0; b < task_.count; first_feature += width(b++))
            for (std::int64_t first = 0; first < width(b); first += chunk) {
              if (worker.stopped()) return;
              multiply(block, b, first, first_feature + first, reinterpret_cast<T*>(memory));
            }
        },
        [](std::int64_t, const char*) {});
  }

 private:
  static constexpr int block_rows = 96, chunk = 384;
  static constexpr int chunk_stride = chunk + 64 / sizeof(T);  // an odd number of cache lines
  static_assert(block_rows % RegisterTile<T>::rows == 0);

  std::int64_t width(std::int64_t layer) const { return task_.layers[layer].x.cols; }
  bool wanted(std::int64_t a, std::int64_t b) const {
    return task_.grads[a] != nullptr && task_.coefficients[a * task_.count + b] != 0;
  }

  // Layer b's columns from `first` on, of one block of rows, for the gradients of all layers.
  void multiply(std::int64_t block, std::int64_t b, std::int64_t first, std::int64_t feature, T* rows) const {
    const int count = blocks_.length(block),
              columns = static_cast<int>(std::min<std::int64_t>(chunk, width(b) - first));
    for (int i = 0; i < count; i++)
      centered_values(task_.layers[b], blocks_.begin(block) + i, first, columns, rows + i * chunk_stride);
    const Weights<T> weights{rows, count, columns, chunk_stride, 1};
    for (std::int64_t a = 0; a < task_.count; a++) {
      if (!wanted(a, b)) continue;
      const T* const matrix = static_cast<const T*>(task_.matrices[a]) + feature * task_.strides[a];
      T* const grad = static_cast<T*>(task_.grads[a]) + blocks_.begin(block) * width(a);
      add_times_rows(weights, RowSpan<const T>{matrix, static_cast<std::ptrdiff_t>(task_.strides[a])}, width(a),
                     RowSpan<T>{grad, static_cast<std::ptrdiff_t>(width(a))});
    }
  }

  const CovarianceGradTask& task_;
  const Execution& execution_;
  const Blocks blocks_;
};

}  // namespace

void covariance_grad(const CovarianceGradTask& task, const Execution& execution) {
  if (execution.compute == Compute::float32)
    CovarianceGradWalk<float>(task, execution).run();
  else
    CovarianceGradWalk<double>(task, execution).run();
}

}  // namespace GRAMLESS_ISA
}  // namespace gramless
