// Walk over tiles i <= j -> squared distances -> a histogram of their bits: one pass of an exact median.
#include "engine/walk.hpp"
#include "epilogues/tile_kernels.hpp"
#include "ops/isa_ops.hpp"
#include "ops/scratch.hpp"
#include "reductions/bit_histogram.hpp"

namespace gramless {
inline namespace GRAMLESS_ISA {
namespace {

template <class T>
void count_tile(const Tile<T>& tile, const T* row_norms, const T* column_norms, T noise, BitHistogram<T>& histogram) {
  const SquaredDistanceTile<T> squared_distance;
  const Vector<Bits<T>> numbers = lane_numbers<T>();
  for (int i = 0; i < tile.rows; i++) {
    const Vector<T> norm = splat(row_norms[i]);
    const int first_owned = tile.diagonal ? i + 1 : 0;
    for (int j = first_owned / lanes<T> * lanes<T>; j < tile.cols; j += lanes<T>) {
      const Vector<Bits<T>> column = numbers + static_cast<Bits<T>>(j);
      const Vector<T> column_norm = load<Vector<T>>(column_norms + j);
      const Vector<T> distances = squared_distance(load<Vector<T>>(tile.row(i) + j), norm, column_norm);
      histogram.add(distances <= noise * (norm + column_norm) ? Vector<T>{} : distances,
                    (column >= static_cast<Bits<T>>(first_owned)) & (column < static_cast<Bits<T>>(tile.cols)));
    }
  }
  histogram.end_tile();
}

template <class T>
class DistanceWalk {
 public:
  DistanceWalk(const DistanceCountsTask& task, const Execution& execution)
      : task_(task),
        execution_(execution),
        blocks_{task.layer.x.rows, gramless::tile_rows(task.layer.x.rows, sizeof(T))},
        tile_rows_(blocks_.length(0)),
        keep_rows_(task.layer.x.cols * tile_rows_ * static_cast<std::int64_t>(sizeof(T)) <= kept_rows_bytes) {}

  void run() {
    const UpperTriangle tiles{blocks_.count()};
    const double n = static_cast<double>(blocks_.n);
    Layout scratch;
    lay_out(scratch);
    const WalkPlan plan{.tasks = tiles.count(),
                        .flops = n * n * static_cast<double>(task_.layer.x.cols),
                        .scratch_bytes = scratch.bytes(),
                        .threads = execution_.threads,
                        .monitor = execution_.monitor};
    walk(
        plan, [&](std::int64_t t, char* memory, char*, Worker&) { compute(tiles[t], memory); },
        [](std::int64_t, const char*) {}, [&](char* memory) { add_counts(memory); });
  }

 private:
  struct Thread {
    bool* started;
    BitHistogram<T>* histogram;
    std::uint64_t* counts;
    PackedRows<T>* packed;
    T *values, *slivers, *panel;
  };

  Thread lay_out(Layout& layout) const {
    const std::int64_t depth = task_.layer.x.cols, chunk = std::min<std::int64_t>(depth, TileShape<T>::depth);
    Thread thread;
    thread.started = layout.take<bool>(1);
    thread.histogram = layout.take<BitHistogram<T>>(1);
    thread.counts = layout.take<std::uint64_t>(task_.bins);
    thread.packed = layout.take<PackedRows<T>>(1);
    thread.values = layout.take<T>(tile_values<T>(tile_rows_, tile_rows_));
    thread.slivers = layout.take<T>(Product<T>::packed_values(tile_rows_, keep_rows_ ? depth : chunk));
    thread.panel = layout.take<T>(Product<T>::panel_values);
    return thread;
  }

  Thread enter(char* memory) const {
    Layout layout(memory);
    const Thread thread = lay_out(layout);
    if (*thread.started) return thread;
    *thread.started = true;
    *thread.packed = {thread.slivers, thread.panel, keep_rows_, -1};
    *thread.histogram = {};
    thread.histogram->first = static_cast<Bits<T>>(task_.first);
    thread.histogram->last =
        static_cast<Bits<T>>(task_.first + (static_cast<std::uint64_t>(task_.bins) << task_.shift) - 1);
    thread.histogram->shift = task_.shift;
    thread.histogram->counts = thread.counts;
    std::fill_n(thread.counts, task_.bins, std::uint64_t{0});
    return thread;
  }

  void compute(TilePosition at, char* memory) const {
    const Thread thread = enter(memory);
    const LayerView& layer = task_.layer;
    const Tile<T> tile{thread.values, blocks_.length(at.i), blocks_.length(at.j), tile_stride<T>(blocks_.length(at.j)),
                       at.i == at.j};
    const CenteredRows<T> rows{layer.x, static_cast<const T*>(layer.center_high),
                               static_cast<const T*>(layer.center_low)};
    dot_tile(rows, blocks_.begin(at.i), rows, blocks_.begin(at.j), 0, layer.x.cols, *thread.packed, tile);
    const T* norms = static_cast<const T*>(layer.row_stats);
    count_tile(tile, norms + blocks_.begin(at.i), norms + blocks_.begin(at.j), static_cast<T>(task_.noise),
               *thread.histogram);
  }

  void add_counts(char* memory) const {
    Layout layout(memory);
    const Thread thread = lay_out(layout);
    if (!*thread.started) return;
    for (std::int64_t bin = 0; bin < task_.bins; bin++) task_.counts[bin] += thread.counts[bin];
    *task_.below += thread.histogram->below;
    *task_.nans += thread.histogram->nans;
  }

  const DistanceCountsTask& task_;
  const Execution& execution_;
  const Blocks blocks_;
  const int tile_rows_;
  const bool keep_rows_;
};

}  // namespace

void count_distances(const DistanceCountsTask& task, const Execution& execution) {
  if (execution.compute == Compute::float32)
    DistanceWalk<float>(task, execution).run();
  else
    DistanceWalk<double>(task, execution).run();
}

}  // namespace GRAMLESS_ISA
}  // namespace gramless
