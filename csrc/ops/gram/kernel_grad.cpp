// Walk over tiles -> each layer's kernel function -> derivatives with respect to its values -> gradients of rows: the
// backward pass of HSIC and CKA.
#include "epilogues/kernel_grad.hpp"

#include "engine/walk/block_pair_walk.hpp"
#include "ops/dispatch/for_each_row.hpp"
#include "ops/dispatch/isa_ops.hpp"
#include "ops/dispatch/scratch.hpp"
#include "ops/gram/centered_values.hpp"
#include "ops/gram/near_distances.hpp"
#include "reductions/times_rows.hpp"

namespace gramless {
inline namespace GRAMLESS_ISA {
namespace {

template <class T>
class KernelGradWalk {
 public:
  KernelGradWalk(const KernelGradTask& task, const Execution& execution)
      : task_(task),
        execution_(execution),
        blocks_{task.layers[0].x.rows, gramless::tile_rows(task.layers[0].x.rows, sizeof(T))},
        tile_rows_(blocks_.length(0)),
        tile_values_(tile_values<T>(tile_rows_, tile_rows_)) {
    for (std::int64_t l = 0; l < task.count; l++) {
      total_depth_ += task.layers[l].x.cols;
      keeps_held_ = keeps_held_ || is_of_root(task.layers[l].kernel) || is_polynomial(task.layers[l].kernel);
    }
  }

  void run() const {
    const double n = static_cast<double>(blocks_.n);
    Layout scratch;
    lay_out(scratch);
    const WalkPlan plan{.flops = n * n * static_cast<double>(3 * total_depth_ + 20 * task_.count),
                        .scratch_bytes = scratch.bytes(),
                        .threads = execution_.threads,
                        .monitor = execution_.monitor};
    walk_block_pairs(plan, SymmetricSchedule{blocks_.count()}, blocks_.count(),
                     [&](const BlockPair& pair, char* memory, Worker& worker) { differentiate(pair, memory, worker); });
  }

 private:
  static constexpr int chunk = TileShape<T>::depth;            // columns of the rows a tile's weights multiply
  static constexpr int chunk_stride = chunk + 64 / sizeof(T);  // an odd number of cache lines

  struct Thread {
    bool* started;
    T *values, *distances, *weights;  // (layers, tile), (layers, tile) where a slope is of what tiles held, (tile)
    T *slivers, *panel, *rows, *coefficients;
  };

  Thread lay_out(Layout& layout) const {
    Thread thread;
    thread.started = layout.take<bool>(1);
    thread.values = layout.take<T>(task_.count * tile_values_);
    thread.distances = layout.take<T>(keeps_held_ ? task_.count * tile_values_ : 0);
    thread.weights = layout.take<T>(tile_values_);
    thread.slivers = layout.take<T>(Product<T>::packed_values(tile_rows_, TileShape<T>::depth));
    thread.panel = layout.take<T>(Product<T>::panel_values);
    thread.rows = layout.take<T>(std::int64_t{chunk_stride} * tile_rows_);
    thread.coefficients = layout.take<T>(task_.count);
    return thread;
  }

  Tile<T> tile(T* values, const BlockPair& pair) const {
    const int cols = blocks_.length(pair.b);
    return {values, blocks_.length(pair.a), cols, tile_stride<T>(cols), false};
  }

  void differentiate(const BlockPair& pair, char* memory, Worker& worker) const {
    Layout layout(memory);
    const Thread thread = lay_out(layout);
    for (std::int64_t l = 0; l < task_.count; l++) {
      if (worker.stopped()) return;
      evaluate_layer(l, pair, thread);
    }
    for (std::int64_t l = 0; l < task_.count; l++)
      if (task_.grads[l] != nullptr) {
        if (worker.stopped()) return;
        weigh(l, pair, thread);
        add_gradients(l, pair, thread);
      }
  }

  void evaluate_layer(std::int64_t l, const BlockPair& pair, const Thread& thread) const {
    const LayerView& layer = task_.layers[l];
    const CenteredRows<T> rows{layer.x, static_cast<const T*>(layer.center_high),
                               static_cast<const T*>(layer.center_low)};
    const Tile<T> values = tile(thread.values + l * tile_values_, pair);
    PackedRows<T> packed{thread.slivers, thread.panel, false, -1};
    dot_tile(rows, blocks_.begin(pair.a), rows, blocks_.begin(pair.b), 0, layer.x.cols, packed, values);
    const T* stats = static_cast<const T*>(layer.row_stats);
    if (is_of_root(layer.kernel)) {
      const T *row_stats = stats + blocks_.begin(pair.a), *column_stats = stats + blocks_.begin(pair.b);
      measure_distances(layer.x, blocks_.begin(pair.a), blocks_.begin(pair.b), values, row_stats, column_stats);
    }
    if (keeps_held_)
      std::copy_n(values.values, std::int64_t{values.rows} * values.stride, thread.distances + l * tile_values_);
    if (const T* const offsets = row_offsets<T>(layer)) stats = offsets;
    visit_tile_kernel<T>(layer.kernel, layer.shift, [&](auto kernel) {
      evaluate_kernel(values, kernel, stats + blocks_.begin(pair.a), stats + blocks_.begin(pair.b));
    });
  }

  void weigh(std::int64_t l, const BlockPair& pair, const Thread& thread) const {
    for (std::int64_t b = 0; b < task_.count; b++)
      thread.coefficients[b] = static_cast<T>(task_.coefficients[l * task_.count + b]);
    const T* terms = static_cast<const T*>(task_.row_terms[l]);
    const std::int64_t row = blocks_.begin(pair.a), column = blocks_.begin(pair.b);
    const KernelDerivative<T> derivative{thread.values,
                                         task_.count,
                                         tile_values_,
                                         thread.coefficients,
                                         terms + row,
                                         terms + column,
                                         static_cast<T>(task_.constants[l])};
    double* sums = task_.weight_sums + l * blocks_.n;
    const LayerView& layer = task_.layers[l];
    const T* stats = static_cast<const T*>(layer.row_stats);
    const PairDistances<T> distances{thread.distances + l * tile_values_, stats + row, stats + column,
                                     near_share_of<T>(layer.x.cols)};
    visit_kernel(layer.kernel, [&](auto kernel) {
      const auto slope = slope_on_tiles<T>(kernel, layer.shift, task_.units[l]);
      const Tile<T> weights = tile(thread.weights, pair);
      weigh_pairs(weights, pair.a == pair.b, derivative, thread.values + l * tile_values_, distances, slope, sums + row,
                  sums + column);
      if constexpr (kernel.of_root) add_near_pairs(l, pair, weights, distances);
    });
  }

  // For rows near each other, weights times rows would cancel; here the weights multiply the rows' differences.
  void add_near_pairs(std::int64_t l, const BlockPair& pair, const Tile<T>& weights,
                      const PairDistances<T>& distances) const {
    const ArrayView& x = task_.layers[l].x;
    T* const grad = static_cast<T*>(task_.grads[l]);
    for (int i = 0; i < weights.rows; i++)
      for (int j = 0; j < weights.cols; j++) {
        T& weight = weights.row(i)[j];
        if (!distances.is_near(i, j, std::int64_t{i} * weights.stride + j) || weight == 0) continue;
        if ((j == 0 || is_long(x)) && stop_requested()) return;
        const std::int64_t a = blocks_.begin(pair.a) + i, b = blocks_.begin(pair.b) + j;
        visit_difference(x, b, a, [&](std::int64_t k, double difference) {
          const T part = static_cast<T>(static_cast<double>(weight) * difference);
          grad[a * x.cols + k] += part;
          if (pair.a != pair.b) grad[b * x.cols + k] -= part;
        });
        weight = 0;
      }
  }

  void add_gradients(std::int64_t l, const BlockPair& pair, const Thread& thread) const {
    const std::int64_t width = task_.layers[l].x.cols;
    T* const grad = static_cast<T*>(task_.grads[l]);
    const Tile<T> weights = tile(thread.weights, pair);
    for (std::int64_t first = 0; first < width; first += chunk) {
      if (first > 0 && stop_requested()) return;
      const int columns = static_cast<int>(std::min<std::int64_t>(chunk, width - first));
      const RowSpan<const T> rows{thread.rows, chunk_stride};
      const auto out = [&](std::int64_t block) {
        return RowSpan<T>{grad + blocks_.begin(block) * width + first, static_cast<std::ptrdiff_t>(width)};
      };
      center_block(l, pair.b, first, columns, thread.rows);
      add_times_rows(weights_of(weights), rows, columns, out(pair.a));
      if (pair.a == pair.b) continue;
      center_block(l, pair.a, first, columns, thread.rows);
      add_times_rows(transposed(weights), rows, columns, out(pair.b));
    }
  }

  void center_block(std::int64_t l, std::int64_t block, std::int64_t first, int columns, T* rows) const {
    const int padded = static_cast<int>(round_up(columns, lanes<T>));
    for (int i = 0; i < blocks_.length(block); i++, rows += chunk_stride) {
      centered_values(task_.layers[l], blocks_.begin(block) + i, first, columns, rows);
      std::fill(rows + columns, rows + padded, T(0));
    }
  }

  const KernelGradTask& task_;
  const Execution& execution_;
  const Blocks blocks_;
  const int tile_rows_;
  const std::int64_t tile_values_;
  std::int64_t total_depth_ = 0;
  bool keeps_held_ = false;
};

template <class T>
void finish_row(const FinishKernelGradTask& task, std::int64_t i) {
  constexpr int piece = 256;
  const std::int64_t width = task.layer.x.cols;
  T* const grad = static_cast<T*>(task.grad) + i * width;
  const T *high = static_cast<const T*>(task.layer.center_high), *low = static_cast<const T*>(task.layer.center_low);
  const auto center = [&](std::int64_t k) { return static_cast<double>(high[k]) + static_cast<double>(low[k]); };
  T centered[piece];
  for (std::int64_t first = 0; first < width; first += piece) {
    const int count = static_cast<int>(std::min<std::int64_t>(piece, width - first));
    centered_values(task.layer, i, first, count, centered);
    for (int k = 0; k < count; k++)
      grad[first + k] = static_cast<T>(task.factor * static_cast<double>(grad[first + k]) +
                                       task.row_factors[i] * static_cast<double>(centered[k]) +
                                       (task.center_factors ? task.center_factors[i] * center(first + k) : 0.0));
  }
}

}  // namespace

void kernel_grad(const KernelGradTask& task, const Execution& execution) {
  if (execution.compute == Compute::float32)
    KernelGradWalk<float>(task, execution).run();
  else
    KernelGradWalk<double>(task, execution).run();
}

void finish_kernel_grad(const FinishKernelGradTask& task, const Execution& execution) {
  const double flops = 4.0 * static_cast<double>(task.layer.x.rows) * static_cast<double>(task.layer.x.cols);
  for_each_row(task.layer.x.rows, flops, execution, [&](std::int64_t i) {
    if (execution.compute == Compute::float32)
      finish_row<float>(task, i);
    else
      finish_row<double>(task, i);
  });
}

}  // namespace GRAMLESS_ISA
}  // namespace gramless
