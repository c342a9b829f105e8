// Walk over strips, a few anchors by all of their keys -> nothing -> each anchor's k-th most or least similar negative.
#include <cmath>

#include "engine/walk/walk.hpp"
#include "ops/contrast/side_rows.hpp"
#include "ops/dispatch/isa_ops.hpp"
#include "ops/dispatch/scratch.hpp"
#include "reductions/excluded_count.hpp"
#include "reductions/order_statistic.hpp"

namespace gramless {
inline namespace GRAMLESS_ISA {
namespace {

constexpr std::int64_t strip_bytes = 8 << 20;  // per thread, or one register tile of rows where that is more

// A row's negatives: how many there are, and the range of their similarities, from one pass over them.
template <class T>
struct Negatives {
  std::int64_t count = 0;
  bool nan = false;
  T lowest, highest, largest;  // largest: of the magnitudes
};

template <class T>
class StripWalk {
 public:
  StripWalk(const HardestLimitsTask& task, const Execution& execution)
      : task_(task),
        execution_(execution),
        keys_(rows_in(task.pairs.columns)),
        length_(round_up(keys_, TileShape<T>::micro_cols)),
        strips_{task.anchors, strip_rows()},
        no_center_(zeros<T>(task.pairs.width)) {}

  void run() const {
    Layout scratch;
    lay_out(scratch);
    const double pairs = static_cast<double>(task_.anchors) * static_cast<double>(keys_);
    const WalkPlan plan{.tasks = strips_.count(),
                        .flops = pairs * (2 * static_cast<double>(task_.pairs.width) + 40),
                        .scratch_bytes = scratch.bytes(),
                        .threads = execution_.threads,
                        .monitor = execution_.monitor};
    walk(
        plan, [&](std::int64_t strip, char* memory, char*, Worker&) { compute(strip, memory); },
        [](std::int64_t, const char*) {});
  }

 private:
  struct Thread {
    T *values, *slivers, *panel;
  };

  // As many rows as fit into strip_bytes, but few enough that all threads get some.
  int strip_rows() const {
    constexpr std::int64_t step = TileShape<T>::block_rows;
    const std::int64_t fitting = strip_bytes / (length_ * static_cast<std::int64_t>(sizeof(T))) / step * step,
                       shared = round_up((task_.anchors + 7) / 8, step);
    return static_cast<int>(std::clamp(std::min(fitting, shared), step, std::int64_t{TileShape<T>::rows}));
  }

  Thread lay_out(Layout& layout) const {
    const std::int64_t chunk = std::min<std::int64_t>(task_.pairs.width, TileShape<T>::depth);
    Thread thread;
    thread.values = layout.take<T>(tile_values<T>(strips_.size, keys_));
    thread.slivers = layout.take<T>(Product<T>::packed_values(strips_.size, chunk));
    thread.panel = layout.take<T>(Product<T>::panel_values);
    return thread;
  }

  void compute(std::int64_t strip, char* memory) const {
    Layout layout(memory);
    const Thread thread = lay_out(layout);
    const std::int64_t first = strips_.begin(strip), width = task_.pairs.width;
    PackedRows<T> packed{thread.slivers, thread.panel, false, -1};
    const Tile<T> tile{thread.values, strips_.length(strip), static_cast<int>(keys_), static_cast<int>(length_), false};
    dot_tile(uncentered<T>(task_.pairs.rows, width, no_center_), first,
             uncentered<T>(task_.pairs.columns, width, no_center_), 0, 0, width, packed, tile);
    for (int i = 0; i < tile.rows; i++) task_.limits[first + i] = limit(tile.row(i), first + i);
  }

  double limit(T* row, std::int64_t anchor) const {
    const Negatives<T> negatives = keep_negatives(row, anchor);
    const auto k = static_cast<std::int64_t>(excluded_count(task_.fraction, static_cast<double>(negatives.count)));
    if (k == 0) return task_.easiest ? -INFINITY : INFINITY;
    if (negatives.nan) return NAN;
    const std::int64_t rank = task_.easiest ? negatives.count - k + 1 : k;
    const T found = kth_largest(row, length_, rank, negatives.lowest, negatives.highest);
    const double tie = task_.tie * static_cast<double>(negatives.largest);
    return static_cast<double>(found) + (task_.easiest ? tie : -tie);
  }

  // All other entries of the row, the anchor itself included, become -inf, which is below every negative.
  Negatives<T> keep_negatives(T* row, std::int64_t anchor) const {
    using V = Vector<T>;
    using M = Vector<Bits<T>>;
    const V least = splat(static_cast<T>(-INFINITY)), most = splat(static_cast<T>(INFINITY));
    const auto* groups = static_cast<const Bits<T>*>(task_.pairs.columns.groups);
    const auto group = static_cast<const Bits<T>*>(task_.pairs.rows.groups)[anchor];
    V lowest = most, highest = least, largest = V{};
    M counts{}, nans{};
    for (std::int64_t j = 0; j < length_; j += lanes<T>) {
      const M column = lane_numbers<T>() + static_cast<Bits<T>>(j);
      const M negative = (column < static_cast<Bits<T>>(keys_)) & (load<M>(groups + j) != group);
      const V value = negative ? load<V>(row + j) : least;
      const V magnitude = value < V{} ? -value : value;
      counts -= negative;
      nans |= value != value;
      highest = value > highest ? value : highest;
      lowest = negative & (value < lowest) ? value : lowest;
      largest = negative & (magnitude > largest) ? magnitude : largest;
      store(row + j, value);
    }
    Negatives<T> found{0, false, lowest[0], highest[0], largest[0]};
    for (int lane = 0; lane < lanes<T>; lane++) {
      found.count += counts[lane];
      found.nan |= nans[lane] != 0;
      found.lowest = std::min<T>(found.lowest, lowest[lane]);
      found.highest = std::max<T>(found.highest, highest[lane]);
      found.largest = std::max<T>(found.largest, largest[lane]);
    }
    return found;
  }

  const HardestLimitsTask& task_;
  const Execution& execution_;
  const std::int64_t keys_, length_;
  const Blocks strips_;
  const AlignedBuffer no_center_;
};

}  // namespace

void hardest_limits(const HardestLimitsTask& task, const Execution& execution) {
  if (execution.compute == Compute::float32)
    StripWalk<float>(task, execution).run();
  else
    StripWalk<double>(task, execution).run();
}

}  // namespace GRAMLESS_ISA
}  // namespace gramless
