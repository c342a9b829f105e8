// Walk over tiles i <= j -> each layer's kernel function -> row sums and inner products between layers, by the folds
// of rows and of columns.
#include "engine/walk/walk.hpp"
#include "epilogues/tile_kernels.hpp"
#include "ops/dispatch/isa_ops.hpp"
#include "ops/dispatch/scratch.hpp"
#include "ops/gram/gram_sums_amx.hpp"
#include "ops/gram/near_distances.hpp"
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
        rows_(task.layers[0].x.rows),
        tile_rows_(static_cast<int>(std::min<std::int64_t>(rows_, gramless::tile_rows(rows_, sizeof(T))))),
        tile_values_(tile_values<T>(tile_rows_, tile_rows_)) {
    for (std::int64_t l = 0; l < layers_; l++) {
      if (task.layers[l].dots) continue;  // its dot products are known, so its rows are not packed
      max_depth_ = std::max(max_depth_, task.layers[l].x.cols);
      total_depth_ += task.layers[l].x.cols;
      kept_values_ += Product<T>::packed_values(tile_rows_, task.layers[l].x.cols);
    }
    keep_rows_ = total_depth_ * tile_rows_ * static_cast<std::int64_t>(sizeof(T)) <= kept_rows_bytes;
    on_amx_ = keep_rows_ && GramSumsAmx<T>::takes(task);
    sums_ = {task.products, task.self_products, task.row_sums};
    if (task.parts.count > 1) start_part();
  }

  void run() {
    const UpperTriangle tiles{task_.block_count};
    const std::int64_t first = task_.parts.begin(task_.parts.first, tiles.count());
    const std::int64_t end = task_.parts.begin(task_.parts.end, tiles.count());
    if (on_amx_) packed_rows_.pack(task_, end - first, tile_rows_, execution_.threads);
    const double share = static_cast<double>(end - first) / static_cast<double>(tiles.count());
    const double n = static_cast<double>(rows_);
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
          compute(first + t, tiles[first + t], memory, answer, worker);
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
    T* stats;               // (4, rows): of rows visited in another order than stored
    T *slivers, *panel;
    T* products;  // sums carried through the tile
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
    thread.values = layout.take<T>(on_amx_ ? 0 : layers_ * tile_values_);
    thread.stats = layout.take<T>(4 * stats_length);
    thread.slivers = layout.take<T>(keep_rows_ ? kept_values_ : Product<T>::packed_values(tile_rows_, chunk));
    thread.panel = layout.take<T>(on_amx_ ? GramSumsAmx<T>::packed_values(task_, TileShape<T>::micro_cols)
                                          : Product<T>::panel_values);
    thread.products = layout.take<T>(kept_product_values<T>(layers_, columns()));
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
    const bool far = kept_values_ * static_cast<std::int64_t>(sizeof(T)) > near_rows_bytes;
    T* slivers = thread.slivers;
    for (std::int64_t l = 0; l < layers_; l++) {
      thread.packed[l] = {slivers, thread.panel, keep_rows_, -1, far};
      if (keep_rows_ && !task_.layers[l].dots) slivers += Product<T>::packed_values(tile_rows_, task_.layers[l].x.cols);
    }
    return thread;
  }

  void compute(std::int64_t tile_number, TilePosition at, char* memory, char* answer, Worker& worker) const {
    const Thread thread = enter(memory);
    Layout layout(answer);
    const Partial partial = lay_out_partial(layout);
    if (on_amx_) return evaluate_both(at, thread, partial);
    const int cols = task_.blocks[at.j].rows;
    Tile<T> tile{nullptr, task_.blocks[at.i].rows, cols, tile_stride<T>(cols), at.i == at.j};
    for (std::int64_t l = 0; l < layers_; l++) {
      if (worker.stopped()) return;
      tile.values = thread.values + l * tile_values_;
      const T* const dots = static_cast<const T*>(task_.layers[l].dots);
      evaluate_layer(l, at, thread, partial, tile, dots ? dots + tile_number * tile_values_ : nullptr);
    }
    multiply_layers(thread, std::int64_t{tile.rows} * tile.stride, partial);
  }

  // dots: the tile's dot products where they are known.
  void evaluate_layer(std::int64_t l, TilePosition at, const Thread& thread, const Partial& partial,
                      const Tile<T>& tile, const T* dots) const {
    const LayerView& layer = task_.layers[l];
    const CenteredRows<T> rows = centered_rows<T>(layer);
    const FoldBlock &row_block = task_.blocks[at.i], &column_block = task_.blocks[at.j];
    const T* row_stats = stats(layer, layer.row_stats, row_block, thread.stats);
    const T* column_stats = stats(layer, layer.row_stats, column_block, thread.stats + stats_length);
    const bool of_root = is_of_root(layer.kernel);
    if (of_root) {
      if (dots)
        std::copy_n(dots, std::int64_t{tile.rows} * tile.stride, tile.values);
      else
        dot_tile(rows, row_block.first, rows, column_block.first, 0, layer.x.cols, thread.packed[l], tile);
      measure_distances(layer.x, row_block.first, column_block.first, tile, row_stats, column_stats);
    }
    if (const T* const offsets = row_offsets<T>(layer)) {
      row_stats = stats(layer, offsets, row_block, thread.stats + 2 * stats_length);
      column_stats = stats(layer, offsets, column_block, thread.stats + 3 * stats_length);
    }
    visit_tile_kernel<T>(layer.kernel, layer.shift, [&](auto kernel) {
      KernelSums sums(tile, kernel, row_stats, column_stats, of_root ? nullptr : dots);
      if (of_root || dots)
        sums.add_all();
      else
        dot_tile(rows, row_block.first, rows, column_block.first, 0, layer.x.cols, thread.packed[l], tile, sums);
      sums.finish(partial.row_sums + l * tile_rows_, partial.column_sums + l * tile_rows_);
    });
  }

  // Adds the tile of both layers, with its held rows as columns.
  void evaluate_both(TilePosition at, const Thread& thread, const Partial& partial) const {
    const FoldBlock &rows = task_.blocks[at.j], &columns = task_.blocks[at.i];
    const T *row_stats[2], *column_stats[2];
    TwoLayerTileSums sums;
    for (std::int64_t l = 0; l < 2; l++) {
      const LayerView& layer = task_.layers[l];
      row_stats[l] = stats(layer, layer.row_stats, rows, thread.stats + 2 * l * stats_length);
      column_stats[l] = stats(layer, layer.row_stats, columns, thread.stats + (2 * l + 1) * stats_length);
      sums.row_sums[l] = partial.column_sums + l * tile_rows_;
      sums.column_sums[l] = partial.row_sums + l * tile_rows_;
    }
    const T* const packed = packed_rows_.block(at.j);
    GramSumsAmx<T>::add_tile(task_.layers, rows, columns, row_stats, column_stats, thread.packed, packed, sums);
    partial.self_products[0] = sums.products[0];
    partial.products[0] = sums.products[1];
    partial.self_products[1] = sums.products[2];
  }

  // The values of a block's rows, from values in the order in which rows are stored.
  static const T* stats(const LayerView& layer, const void* values, const FoldBlock& block, T* gathered) {
    const T* stored = static_cast<const T*>(values);
    if (layer.x.row_index == nullptr) return stored + block.first;
    for (int i = 0; i < block.rows; i++) gathered[i] = stored[layer.x.row_index[block.first + i]];
    return gathered;
  }

  void multiply_layers(const Thread& thread, std::int64_t length, const Partial& partial) const {
    const std::int64_t x = task_.layers_x, y = task_.layers_y;
    const T* const values = thread.values;
    std::fill_n(partial.products, x * columns(), 0.0);
    std::fill_n(partial.self_products, layers_, 0.0);
    if (x == 1 && y == 1) return multiply_pair(values, length, partial);
    const T* second = y ? values + x * tile_values_ : values;
    add_layer_products<T>(
        {values, x, second, columns(), tile_values_, y == 0, partial.products, columns(), thread.products}, length);
    for (std::int64_t l = 0; l < layers_; l++) {
      const T* layer = values + l * tile_values_;
      if (y)
        add_layer_products<T>({layer, 1, layer, 1, tile_values_, true, partial.self_products + l, 1, thread.products},
                              length);
      else
        partial.self_products[l] = partial.products[l * x + l];
    }
  }

  // All three products of two layers in one pass over their tiles.
  void multiply_pair(const T* values, std::int64_t length, const Partial& partial) const {
    double products[3] = {};
    add_pair_products(values, values + tile_values_, length, products);
    partial.self_products[0] = products[0];
    partial.products[0] = products[1];
    partial.self_products[1] = products[2];
  }

  void merge(TilePosition at, char* answer) const {
    Layout layout(answer);
    const Partial partial = lay_out_partial(layout);
    const FoldBlock &a = task_.blocks[at.i], &b = task_.blocks[at.j];
    const std::int64_t folds = a.fold * task_.folds + b.fold, pairs = task_.layers_x * columns();
    add(partial.products, pairs, sums_.products + folds * pairs);
    add(partial.self_products, layers_, sums_.self_products + folds * layers_);
    for (std::int64_t l = 0; l < layers_; l++) {
      double* sums = sums_.row_sums + l * task_.folds * rows_;
      add(partial.row_sums + l * tile_rows_, a.rows, sums + b.fold * rows_ + a.first);
      add(partial.column_sums + l * tile_rows_, b.rows, sums + a.fold * rows_ + b.first);
    }
  }

  static void add(const double* values, std::int64_t count, double* sums) {
    for (std::int64_t e = 0; e < count; e++) sums[e] += values[e];
  }

  Sums lay_out_sums(Layout& layout) const {
    Sums sums;
    sums.products = layout.take<double>(product_count());
    sums.self_products = layout.take<double>(self_product_count());
    sums.row_sums = layout.take<double>(row_sum_count());
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
      add(part, count, whole);
      std::fill_n(part, count, 0.0);
    };
    move(sums_.products, task_.products, product_count());
    move(sums_.self_products, task_.self_products, self_product_count());
    move(sums_.row_sums, task_.row_sums, row_sum_count());
  }

  std::int64_t columns() const { return task_.layers_y ? task_.layers_y : task_.layers_x; }
  std::int64_t product_count() const { return task_.folds * task_.folds * task_.layers_x * columns(); }
  std::int64_t self_product_count() const { return task_.folds * task_.folds * layers_; }
  std::int64_t row_sum_count() const { return layers_ * task_.folds * rows_; }

  const GramSumsTask& task_;
  const Execution& execution_;
  const std::int64_t layers_, rows_;
  const int tile_rows_;
  const std::int64_t tile_values_;
  std::int64_t max_depth_ = 0, total_depth_ = 0, kept_values_ = 0;
  bool keep_rows_ = false, on_amx_ = false;
  AlignedBuffer part_sums_;
  PackedLayersAmx<T> packed_rows_;
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
