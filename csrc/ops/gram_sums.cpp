// Walk over tiles i <= j -> each layer's kernel function -> sums, row sums and inner products between layers.
#include "engine/walk.hpp"
#include "epilogues/tile_kernels.hpp"
#include "ops/isa_ops.hpp"
#include "ops/scratch.hpp"
#include "reductions/inner_products.hpp"
#include "reductions/kernel_sums.hpp"
#include "support/aligned_buffer.hpp"

namespace gramless {
inline namespace GRAMLESS_ISA {
namespace {

template <class T>
class GramWalk {
 public:
  GramWalk(const GramSumsTask& task, const Execution& execution)
      : task_(task),
        execution_(execution),
        layers_(task.layers_x + task.layers_y),
        blocks_{task.layers[0].x.rows, gramless::tile_rows(task.layers[0].x.rows, sizeof(T))},
        tile_rows_(blocks_.length(0)),
        tile_values_(tile_values<T>(tile_rows_, tile_rows_)) {
    for (std::int64_t l = 0; l < layers_; l++) {
      max_depth_ = std::max(max_depth_, task.layers[l].x.cols);
      total_depth_ += task.layers[l].x.cols;
      kept_values_ += Product<T>::packed_values(tile_rows_, task.layers[l].x.cols);
    }
    keep_rows_ = total_depth_ * tile_rows_ * static_cast<std::int64_t>(sizeof(T)) <= kept_rows_bytes;
    sums_ = {task.products, task.self_products, task.row_sums};
    if (task.parts.count > 1) start_part();
  }

  void run() {
    const UpperTriangle tiles{blocks_.count()};
    const std::int64_t first = task_.parts.begin(task_.parts.first, tiles.count());
    const std::int64_t end = task_.parts.begin(task_.parts.end, tiles.count());
    const double share = static_cast<double>(end - first) / static_cast<double>(tiles.count());
    const double n = static_cast<double>(blocks_.n);
    Layout scratch, partial;
    lay_out_thread(scratch);
    lay_out_partial(partial);
    const WalkPlan plan{.tasks = end - first,
                        .flops = share * n * n * static_cast<double>(total_depth_ + 20 * layers_),
                        .scratch_bytes = scratch.bytes(),
                        .partial_bytes = partial.bytes(),
                        .threads = execution_.threads,
                        .monitor = execution_.monitor};
    walk(
        plan,
        [&](std::int64_t t, char* memory, char* answer, Worker& worker) {
          compute(tiles[first + t], memory, answer, worker);
        },
        [&](std::int64_t t, const char* answer) {
          merge(tiles[first + t], const_cast<char*>(answer));
          if (task_.parts.count > 1 && task_.parts.end_with(first + t, tiles.count())) finish_part();
        });
  }

 private:
  struct Thread {
    bool* started;
    PackedRows<T>* packed;  // (layers), or one for all where rows are not kept
    T* values;              // (layers, tile)
    T* stats;               // (2, rows): of rows visited in another order than stored
    T *slivers, *panel;
  };
  struct Partial {
    double* products;       // (x, y or x)
    double* self_products;  // (x + y)
    double* row_sums;       // (x + y, rows)
    double* column_sums;    // (x + y, rows)
  };
  struct Sums {
    double *products, *self_products, *row_sums;  // as in the task
  };
  static constexpr std::int64_t stats_length = TileShape<T>::rows + stat_padding;

  Thread lay_out_thread(Layout& layout) const {
    const std::int64_t chunk = std::min<std::int64_t>(max_depth_, TileShape<T>::depth);
    Thread thread;
    thread.started = layout.take<bool>(1);
    thread.packed = layout.take<PackedRows<T>>(layers_);
    thread.values = layout.take<T>(layers_ * tile_values_);
    thread.stats = layout.take<T>(2 * stats_length);
    thread.slivers = layout.take<T>(keep_rows_ ? kept_values_ : Product<T>::packed_values(tile_rows_, chunk));
    thread.panel = layout.take<T>(Product<T>::panel_values);
    return thread;
  }

  Partial lay_out_partial(Layout& layout) const {
    Partial partial;
    partial.products = layout.take<double>(task_.layers_x * columns());
    partial.self_products = layout.take<double>(layers_);
    partial.row_sums = layout.take<double>(layers_ * tile_rows_);
    partial.column_sums = layout.take<double>(layers_ * tile_rows_);
    return partial;
  }

  Thread enter(char* memory) const {
    Layout layout(memory);
    const Thread thread = lay_out_thread(layout);
    if (*thread.started) return thread;
    *thread.started = true;
    T* slivers = thread.slivers;
    for (std::int64_t l = 0; l < layers_; l++) {
      thread.packed[l] = {slivers, thread.panel, keep_rows_, -1};
      if (keep_rows_) slivers += Product<T>::packed_values(tile_rows_, task_.layers[l].x.cols);
    }
    return thread;
  }

  void compute(TilePosition at, char* memory, char* answer, Worker& worker) const {
    const Thread thread = enter(memory);
    Layout layout(answer);
    const Partial partial = lay_out_partial(layout);
    Tile<T> tile{nullptr, blocks_.length(at.i), blocks_.length(at.j), tile_stride<T>(blocks_.length(at.j)),
                 at.i == at.j};
    for (std::int64_t l = 0; l < layers_; l++) {
      if (worker.stopped()) return;
      tile.values = thread.values + l * tile_values_;
      evaluate(l, at, thread, partial, tile);
    }
    multiply_layers(thread.values, std::int64_t{tile.rows} * tile.stride, partial);
  }

  void evaluate(std::int64_t l, TilePosition at, const Thread& thread, const Partial& partial,
                const Tile<T>& tile) const {
    const LayerView& layer = task_.layers[l];
    const CenteredRows<T> rows{layer.x, static_cast<const T*>(layer.center_high),
                               static_cast<const T*>(layer.center_low)};
    const T* row_stats = stats(layer, at.i, thread.stats);
    const T* column_stats = stats(layer, at.j, thread.stats + stats_length);
    visit_tile_kernel<T>(layer.kernel, layer.shift, [&](auto kernel) {
      KernelSums sums(tile, kernel, row_stats, column_stats);
      dot_tile(rows, blocks_.begin(at.i), rows, blocks_.begin(at.j), 0, layer.x.cols, thread.packed[l], tile, sums);
      sums.finish(partial.row_sums + l * tile_rows_, partial.column_sums + l * tile_rows_);
    });
  }

  const T* stats(const LayerView& layer, std::int64_t block, T* gathered) const {
    const T* stored = static_cast<const T*>(layer.row_stats);
    const std::int64_t begin = blocks_.begin(block);
    if (layer.x.row_index == nullptr) return stored + begin;
    for (int i = 0; i < blocks_.length(block); i++) gathered[i] = stored[layer.x.row_index[begin + i]];
    return gathered;
  }

  void multiply_layers(const T* values, std::int64_t length, const Partial& partial) const {
    const std::int64_t x = task_.layers_x, y = task_.layers_y;
    std::fill_n(partial.products, x * columns(), 0.0);
    std::fill_n(partial.self_products, layers_, 0.0);
    if (x == 1 && y == 1) return multiply_pair(values, length, partial);
    const T* second = y ? values + x * tile_values_ : values;
    add_layer_products(values, x, second, columns(), tile_values_, length, y == 0, partial.products, columns());
    for (std::int64_t l = 0; l < layers_; l++) {
      const T* layer = values + l * tile_values_;
      if (y)
        add_layer_products(layer, 1, layer, 1, tile_values_, length, true, partial.self_products + l, 1);
      else
        partial.self_products[l] = partial.products[l * x + l];
    }
  }

  // All three products of two layers in one pass over their tiles.
  void multiply_pair(const T* values, std::int64_t length, const Partial& partial) const {
    double products[4] = {};
    add_layer_products(values, 2, values, 2, tile_values_, length, true, products, 2);
    partial.products[0] = products[1];
    partial.self_products[0] = products[0];
    partial.self_products[1] = products[3];
  }

  void merge(TilePosition at, char* answer) const {
    Layout layout(answer);
    const Partial partial = lay_out_partial(layout);
    for (std::int64_t p = 0; p < task_.layers_x * columns(); p++) sums_.products[p] += partial.products[p];
    for (std::int64_t l = 0; l < layers_; l++) {
      sums_.self_products[l] += partial.self_products[l];
      double* sums = sums_.row_sums + l * blocks_.n;
      for (int i = 0; i < blocks_.length(at.i); i++)
        sums[blocks_.begin(at.i) + i] += partial.row_sums[l * tile_rows_ + i];
      for (int j = 0; j < blocks_.length(at.j); j++)
        sums[blocks_.begin(at.j) + j] += partial.column_sums[l * tile_rows_ + j];
    }
  }

  Sums lay_out_sums(Layout& layout) const {
    Sums sums;
    sums.products = layout.take<double>(task_.layers_x * columns());
    sums.self_products = layout.take<double>(layers_);
    sums.row_sums = layout.take<double>(layers_ * blocks_.n);
    return sums;
  }

  void start_part() {
    Layout measured;
    lay_out_sums(measured);
    part_sums_ = AlignedBuffer(measured.bytes());
    Layout layout(part_sums_.data());
    sums_ = lay_out_sums(layout);
    std::fill_n(part_sums_.data(), measured.bytes(), char{0});
  }

  void finish_part() const {
    const auto move = [](double* part, double* whole, std::int64_t count) {
      for (std::int64_t e = 0; e < count; e++) {
        whole[e] += part[e];
        part[e] = 0;
      }
    };
    move(sums_.products, task_.products, task_.layers_x * columns());
    move(sums_.self_products, task_.self_products, layers_);
    move(sums_.row_sums, task_.row_sums, layers_ * blocks_.n);
  }

  std::int64_t columns() const { return task_.layers_y ? task_.layers_y : task_.layers_x; }

  const GramSumsTask& task_;
  const Execution& execution_;
  const std::int64_t layers_;
  const Blocks blocks_;
  const int tile_rows_;
  const std::int64_t tile_values_;
  std::int64_t max_depth_ = 0, total_depth_ = 0, kept_values_ = 0;
  bool keep_rows_ = false;
  AlignedBuffer part_sums_;
  Sums sums_;  // of the part that merges, or the task's own where there is but one
};

}  // namespace

void gram_sums(const GramSumsTask& task, const Execution& execution) {
  if (execution.compute == Compute::float32)
    GramWalk<float>(task, execution).run();
  else
    GramWalk<double>(task, execution).run();
}

}  // namespace GRAMLESS_ISA
}  // namespace gramless
