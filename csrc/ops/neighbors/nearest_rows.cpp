// Walk over pairs of row blocks of all layers -> nothing -> the most similar rows of each row, as far as the compute
// type decides.
#include <cmath>

#include "engine/walk/block_pair_walk.hpp"
#include "ops/dispatch/isa_ops.hpp"
#include "ops/dispatch/scratch.hpp"
#include "reductions/add_candidates.hpp"
#include "support/aligned_buffer.hpp"

namespace gramless {
inline namespace GRAMLESS_ISA {
namespace {

// The pairs of one layer after the other; block b of layer l is l * blocks + b.
struct LayeredSchedule {
  SymmetricSchedule of_layer;
  std::int64_t layers;

  std::int64_t count() const { return of_layer.count() * layers; }
  BlockPair operator[](std::int64_t task) const {
    BlockPair pair = of_layer[task % of_layer.count()];
    const std::int64_t first = task / of_layer.count() * of_layer.blocks;
    pair.a += first;
    if (pair.b >= 0) pair.b += first;
    return pair;
  }
};

template <class T>
class NearestRowsWalk {
 public:
  NearestRowsWalk(const NearestRowsTask& task, const Execution& execution)
      : task_(task),
        execution_(execution),
        blocks_{task.layers[0].x.rows, block_rows(task.layers[0].x.rows)},
        padded_(blocks_.n + stat_padding),
        least_(static_cast<std::size_t>(padded_ * task.count) * sizeof(T)) {
    for (std::int64_t layer = 0; layer < task.count; layer++) {
      std::fill_n(similarities(layer), blocks_.n * task.kept, -infinity);
      std::fill_n(task.rows[layer], blocks_.n * task.kept, -1);
      std::fill_n(least(layer), blocks_.n, -infinity);
      std::fill_n(least(layer) + blocks_.n, stat_padding, infinity);  // no column, no candidate
    }
  }

  void run() {
    Layout scratch;
    lay_out(scratch);
    const LayeredSchedule schedule{SymmetricSchedule{blocks_.count()}, task_.count};
    double widths = 0;
    for (std::int64_t layer = 0; layer < task_.count; layer++)
      widths += static_cast<double>(task_.layers[layer].x.cols);
    const double n = static_cast<double>(blocks_.n);
    const WalkPlan plan{.flops = n * n * (widths + 10 * static_cast<double>(task_.count)),
                        .scratch_bytes = scratch.bytes(),
                        .threads = execution_.threads,
                        .monitor = execution_.monitor};
    walk_block_pairs(plan, schedule, blocks_.count() * task_.count,
                     [&](const BlockPair& pair, char* memory, Worker&) { compute(pair, memory); });
  }

 private:
  static constexpr T infinity = static_cast<T>(INFINITY);
  struct Thread {
    T *values, *slivers, *panel;
  };

  // The rows of a whole tile, but with few rows in total fewer, so that there are enough blocks for all threads. Blocks
  // end at whole vectors of columns, because entries behind them belong to other tiles.
  static int block_rows(std::int64_t n) {
    const std::int64_t tile = gramless::tile_rows(n, sizeof(T)), step = tile / 4;
    static_assert(TileShape<T>::rows / 8 % lanes<T> == 0);
    return static_cast<int>(std::clamp(round_up(n / 8, step), step, tile));
  }

  Thread lay_out(Layout& layout) const {
    std::int64_t width = 0;
    for (std::int64_t layer = 0; layer < task_.count; layer++) width = std::max(width, task_.layers[layer].x.cols);
    Thread thread;
    thread.values = layout.take<T>(tile_values<T>(blocks_.size, blocks_.size));
    thread.slivers =
        layout.take<T>(Product<T>::packed_values(blocks_.size, std::min<std::int64_t>(width, TileShape<T>::depth)));
    thread.panel = layout.take<T>(Product<T>::panel_values);
    return thread;
  }

  T* similarities(std::int64_t layer) const { return static_cast<T*>(task_.similarities[layer]); }
  T* least(std::int64_t layer) const { return reinterpret_cast<T*>(least_.data()) + layer * padded_; }

  CandidateBlock<T> block(std::int64_t layer, std::int64_t b) const {
    const std::int64_t first = blocks_.begin(b);
    return {first,
            static_cast<const T*>(task_.layers[layer].row_stats) + first,
            least(layer) + first,
            similarities(layer) + first * task_.kept,
            task_.rows[layer] + first * task_.kept,
            task_.kept};
  }

  void compute(const BlockPair& pair, char* memory) const {
    Layout layout(memory);
    const Thread thread = lay_out(layout);
    const std::int64_t layer = pair.a / blocks_.count(), a = pair.a % blocks_.count(), b = pair.b % blocks_.count();
    const LayerView& view = task_.layers[layer];
    const CenteredRows<T> rows{view.x, static_cast<const T*>(view.center_high), static_cast<const T*>(view.center_low)};
    const int columns = blocks_.length(b);
    const Tile<T> tile{thread.values, blocks_.length(a), columns, tile_stride<T>(columns), false};
    PackedRows<T> packed{thread.slivers, thread.panel, false, -1};
    dot_tile(rows, blocks_.begin(a), rows, blocks_.begin(b), 0, view.x.cols, packed, tile, LeaveOwned());
    if (stop_requested()) return;
    if (a == b)
      for (int i = 0; i < tile.rows; i++) tile.row(i)[i] = -infinity;  // no row is its own neighbour
    add_candidates(tile, block(layer, a), block(layer, b), a != b);
  }

  const NearestRowsTask& task_;
  const Execution& execution_;
  const Blocks blocks_;
  const std::int64_t padded_;
  const AlignedBuffer least_;
};

}  // namespace

void nearest_rows(const NearestRowsTask& task, const Execution& execution) {
  if (execution.compute == Compute::float32)
    NearestRowsWalk<float>(task, execution).run();
  else
    NearestRowsWalk<double>(task, execution).run();
}

}  // namespace GRAMLESS_ISA
}  // namespace gramless
