// Walk over tiles i <= j -> squared distances -> a histogram of their bits, or the distances of an interval: one pass
// of an exact median. Tiles of dot products are kept for later passes, or read from earlier ones, if the layer has
// memory for them.
#include "engine/tile/owned.hpp"
#include "engine/walk/walk.hpp"
#include "epilogues/tile_kernels.hpp"
#include "ops/dispatch/isa_ops.hpp"
#include "ops/dispatch/scratch.hpp"
#include "reductions/bit_histogram.hpp"
#include "reductions/collected_values.hpp"

namespace gramless {
inline namespace GRAMLESS_ISA {
namespace {

// Distances within rounding of 0 count as 0.
template <class T>
class Counted {
 public:
  Counted(const DistanceCountsTask& task, std::uint64_t* counts) : noise_(static_cast<T>(task.noise)) {
    histogram_.first = static_cast<Bits<T>>(task.pass.first);
    histogram_.last = static_cast<Bits<T>>(task.pass.first + (static_cast<std::uint64_t>(task.bins) << task.shift) - 1);
    histogram_.shift = task.shift;
    histogram_.counts = counts;
    std::fill_n(counts, task.bins, std::uint64_t{0});
  }

  static std::int64_t own_values(const DistanceCountsTask& task) { return task.bins; }

  GRAMLESS_INLINE void add(Vector<T> distances, Vector<T> norms, Vector<Bits<T>> owned) {
    histogram_.add(distances <= noise_ * norms ? Vector<T>{} : distances, owned);
  }
  GRAMLESS_INLINE void add(Vector<T> distances, Vector<T> norms) { add(distances, norms, Vector<Bits<T>>{} - 1); }
  void make_room(int) {}
  void end_tile() { histogram_.end_tile(); }
  void finish(const DistanceCountsTask& task) {
    for (std::int64_t bin = 0; bin < task.bins; bin++) task.counts[bin] += histogram_.counts[bin];
    *task.pass.below += histogram_.below;
    *task.pass.nans += histogram_.nans;
  }

 private:
  BitHistogram<T> histogram_;
  T noise_;
};

template <class T>
class CollectedDistances {
 public:
  CollectedDistances(const CollectDistancesTask& task, T* own) {
    values_.first = static_cast<Bits<T>>(task.pass.first);
    values_.last = static_cast<Bits<T>>(task.last);
    values_.own = own;
    values_.inside = {static_cast<T*>(task.values), task.capacity, task.inside};
  }

  static std::int64_t own_values(const CollectDistancesTask&) { return CollectedValues<T>::waiting; }

  GRAMLESS_INLINE void add(Vector<T> distances, Vector<T>, Vector<Bits<T>> owned) { values_.add(distances, owned); }
  GRAMLESS_INLINE void add(Vector<T> distances, Vector<T>) { values_.add(distances); }
  void make_room(int values) { values_.make_room(values); }
  void end_tile() { values_.end_tile(); }
  void finish(const CollectDistancesTask& task) {
    values_.flush();
    *task.pass.below += values_.below;
    *task.pass.nans += values_.nans;
  }

 private:
  CollectedValues<T> values_;
};

// Squared distances of a tile of dot products, a register tile at a time.
template <class T, class Reduction>
class DistanceTile {
 public:
  static constexpr bool reads_owned_only = true;  // other entries are computed but not counted

  DistanceTile(const Tile<T>& tile, const T* row_norms, const T* column_norms, Reduction& reduction)
      : tile_(tile), row_norms_(row_norms), column_norms_(column_norms), reduction_(reduction) {}

  void operator()(int i, int j) {
    using Shape = TileShape<T>;
    Reduction reduction = reduction_;  // a copy, because the compiler assumes that stores may change the member
    reduction.make_room(Shape::micro_rows * Shape::micro_cols);
    if (owns_all(tile_, i, j))
      add(i, Shape::micro_rows, j,
          [&](Vector<T> distances, Vector<T> norms, int, int) { reduction.add(distances, norms); });
    else
      add(i, std::min(Shape::micro_rows, tile_.rows - i), j,
          [&](Vector<T> distances, Vector<T> norms, int row, int column) {
            reduction.add(distances, norms, owned_lanes(tile_, row, column));
          });
    reduction_ = reduction;
  }

 private:
  template <class Use>
  GRAMLESS_INLINE void add(int first_row, int rows, int first_column, Use use) const {
    constexpr int vectors = TileShape<T>::micro_cols / lanes<T>;
    for (int i = first_row; i < first_row + rows; i++) {
      const Vector<T> norm = splat(row_norms_[i]);
#pragma GCC unroll 3
      for (int v = 0; v < vectors; v++) {
        const int j = first_column + v * lanes<T>;
        const Vector<T> column_norm = load<Vector<T>>(column_norms_ + j);
        use(SquaredDistanceTile<T>()(load<Vector<T>>(tile_.row(i) + j), norm, column_norm), norm + column_norm, i, j);
      }
    }
  }

  const Tile<T>& tile_;
  const T *row_norms_, *column_norms_;
  Reduction& reduction_;
};

template <class T, class Reduction, class Task>
class DistanceWalk {
 public:
  DistanceWalk(const Task& task, const Execution& execution)
      : task_(task),
        layer_(task.pass.layer),
        execution_(execution),
        blocks_{layer_.x.rows, gramless::tile_rows(layer_.x.rows, sizeof(T))},
        tile_rows_(blocks_.length(0)),
        tile_values_(tile_values<T>(tile_rows_, tile_rows_)),
        dots_(static_cast<T*>(layer_.dots)),
        known_(task.pass.dots_known),
        keep_rows_(layer_.x.cols * tile_rows_ * static_cast<std::int64_t>(sizeof(T)) <= kept_rows_bytes) {}

  void run() {
    const UpperTriangle tiles{blocks_.count()};
    const double n = static_cast<double>(blocks_.n);
    Layout scratch;
    lay_out(scratch);
    const WalkPlan plan{.tasks = tiles.count(),
                        .flops = n * n * static_cast<double>(known_ ? 10 : layer_.x.cols),
                        .scratch_bytes = scratch.bytes(),
                        .threads = execution_.threads,
                        .monitor = execution_.monitor};
    walk(
        plan, [&](std::int64_t t, char* memory, char*, Worker&) { compute(t, tiles[t], memory); },
        [](std::int64_t, const char*) {}, [&](char* memory) { finish(memory); });
  }

 private:
  using Own = std::conditional_t<std::is_same_v<Task, DistanceCountsTask>, std::uint64_t, T>;
  struct Thread {
    bool* started;
    Reduction* reduction;
    Own* own;  // memory of the reduction
    PackedRows<T>* packed;
    T *values, *slivers, *panel;
  };

  Thread lay_out(Layout& layout) const {
    const std::int64_t depth = layer_.x.cols, chunk = std::min<std::int64_t>(depth, TileShape<T>::depth);
    Thread thread;
    thread.started = layout.take<bool>(1);
    thread.reduction = layout.take<Reduction>(1);
    thread.own = layout.take<Own>(Reduction::own_values(task_));
    thread.packed = layout.take<PackedRows<T>>(1);
    thread.values = layout.take<T>(dots_ ? 0 : tile_values_);
    thread.slivers = layout.take<T>(known_ ? 0 : Product<T>::packed_values(tile_rows_, keep_rows_ ? depth : chunk));
    thread.panel = layout.take<T>(Product<T>::panel_values);
    return thread;
  }

  Thread enter(char* memory) const {
    Layout layout(memory);
    const Thread thread = lay_out(layout);
    if (*thread.started) return thread;
    *thread.started = true;
    *thread.packed = {thread.slivers, thread.panel, keep_rows_, -1};
    *thread.reduction = Reduction(task_, thread.own);
    return thread;
  }

  void compute(std::int64_t t, TilePosition at, char* memory) const {
    const Thread thread = enter(memory);
    const int rows = blocks_.length(at.i), cols = blocks_.length(at.j);
    const Tile<T> tile{dots_ ? dots_ + t * tile_values_ : thread.values,
                       rows,
                       cols,
                       tile_stride<T>(cols),
                       at.i == at.j,
                       dots_ != nullptr};
    const T* norms = static_cast<const T*>(layer_.row_stats);
    DistanceTile<T, Reduction> distances(tile, norms + blocks_.begin(at.i), norms + blocks_.begin(at.j),
                                         *thread.reduction);
    if (known_) {
      for_register_tiles(tile, distances, tile.values);
    } else {
      const CenteredRows<T> centered{layer_.x, static_cast<const T*>(layer_.center_high),
                                     static_cast<const T*>(layer_.center_low)};
      dot_tile(centered, blocks_.begin(at.i), centered, blocks_.begin(at.j), 0, layer_.x.cols, *thread.packed, tile,
               distances);
    }
    thread.reduction->end_tile();
  }

  void finish(char* memory) const {
    Layout layout(memory);
    const Thread thread = lay_out(layout);
    if (*thread.started) thread.reduction->finish(task_);
  }

  const Task& task_;
  const LayerView& layer_;
  const Execution& execution_;
  const Blocks blocks_;
  const int tile_rows_;
  const std::int64_t tile_values_;
  T* const dots_;
  const bool known_, keep_rows_;
};

}  // namespace

void count_distances(const DistanceCountsTask& task, const Execution& execution) {
  if (execution.compute == Compute::float32)
    DistanceWalk<float, Counted<float>, DistanceCountsTask>(task, execution).run();
  else
    DistanceWalk<double, Counted<double>, DistanceCountsTask>(task, execution).run();
}

void collect_distances(const CollectDistancesTask& task, const Execution& execution) {
  if (execution.compute == Compute::float32)
    DistanceWalk<float, CollectedDistances<float>, CollectDistancesTask>(task, execution).run();
  else
    DistanceWalk<double, CollectedDistances<double>, CollectDistancesTask>(task, execution).run();
}

std::size_t layer_dots_bytes(std::int64_t rows, Compute compute) {
  const auto bytes = [&]<class T>(T) {
    if (TileShape<T>::on_matrix_unit) return std::size_t{0};
    const Blocks blocks{rows, gramless::tile_rows(rows, sizeof(T))};
    const std::int64_t values = tile_values<T>(blocks.length(0), blocks.length(0));
    return static_cast<std::size_t>(UpperTriangle{blocks.count()}.count() * values) * sizeof(T);
  };
  return compute == Compute::float32 ? bytes(float()) : bytes(double());
}

}  // namespace GRAMLESS_ISA
}  // namespace gramless
