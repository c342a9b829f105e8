// The walk of the contrastive losses: every pair of row blocks once, each tile alone with both of its blocks.
#pragma once

#include "engine/tile/pair_masks.hpp"
#include "engine/walk/block_pair_walk.hpp"
#include "ops/contrast/side_rows.hpp"
#include "ops/dispatch/isa_ops.hpp"
#include "ops/dispatch/scratch.hpp"

namespace gramless {
inline namespace GRAMLESS_ISA {

template <class T>
class ContrastWalk {
 public:
  ContrastWalk(const PairProblem& pairs, const Execution& execution)
      : pairs_(pairs), execution_(execution), no_center_(zeros<T>(pairs.width)) {
    for (const PairSide* side : {&pairs.rows, &pairs.columns})
      for (std::int64_t b = 0; b < side->block_count; b++)
        tile_rows_ = std::max<std::int64_t>(tile_rows_, side->blocks[b].rows);
  }

  // body(tile, a, b) with the dot products of row block a and column block b; `products`: how many matrix products of a
  // tile's size a tile takes in total. Bodies that share a block run one after another, in a fixed order.
  template <class Body>
  void for_each(double products, Body body) const {
    walk_blocks(plan(products),
                [&](std::int64_t a, std::int64_t b, char* memory) { body(dot_products(a, b, memory), a, b); });
  }

  WalkPlan plan(double products) const {
    Layout scratch;
    lay_out(scratch);
    const double tiles = static_cast<double>(pairs_.rows.block_count) *
                         static_cast<double>(pairs_.columns.block_count) / (pairs_.symmetric ? 2 : 1);
    const double pairs_of_tile = static_cast<double>(tile_rows_ * tile_rows_);
    if (pairs_.dots_known) products--;
    return {.flops = tiles * pairs_of_tile * (2 * products * static_cast<double>(pairs_.width) + 20),
            .scratch_bytes = scratch.bytes(),
            .threads = execution_.threads,
            .monitor = execution_.monitor};
  }

  // body(a, b, memory) for every pair of blocks, with a plan's scratch.
  template <class Body>
  void walk_blocks(const WalkPlan& plan, Body body) const {
    const std::int64_t rows = pairs_.rows.block_count, columns = pairs_.columns.block_count;
    const auto visit = [&](const BlockPair& pair, char* memory, Worker&) {
      body(pair.a, pairs_.symmetric ? pair.b : pair.b - rows, memory);
    };
    if (pairs_.symmetric)
      walk_block_pairs(plan, SymmetricSchedule{rows}, rows, visit);
    else
      walk_block_pairs(plan, RectangularSchedule{rows, columns}, rows + columns, visit);
  }

  Tile<T> dot_products(std::int64_t a, std::int64_t b, char* memory) const {
    Layout layout(memory);
    const Thread thread = lay_out(layout);
    const Tile<T> tile = tile_of(a, b, pairs_.dots ? kept_dots(a, b) : thread.values);
    if (pairs_.dots_known) return tile;
    const RowBlock &rows = pairs_.rows.blocks[a], &columns = pairs_.columns.blocks[b];
    PackedRows<T> packed{thread.slivers, thread.panel, false, -1};
    dot_tile(centered(pairs_.rows), rows.first, centered(pairs_.columns), columns.first, 0, pairs_.width, packed, tile,
             LeaveOwned());
    return tile;
  }

  // Memory for values computed from the dot products, where those are kept and must not be overwritten.
  Tile<T> scratch_tile(std::int64_t a, std::int64_t b, char* memory) const {
    Layout layout(memory);
    return tile_of(a, b, lay_out(layout).values);
  }

  std::size_t dots_bytes() const {
    const std::int64_t rows = pairs_.rows.block_count, columns = pairs_.columns.block_count;
    const std::int64_t tiles = pairs_.symmetric ? UpperTriangle{rows}.count() : rows * columns;
    return static_cast<std::size_t>(tiles * kept_values()) * sizeof(T);
  }

  TileRule rule(std::int64_t a, std::int64_t b) const {
    if (pairs_.limited) return TileRule::limits;
    const RowBlock &rows = pairs_.rows.blocks[a], &columns = pairs_.columns.blocks[b];
    const bool apart = rows.highest_group < columns.lowest_group || columns.highest_group < rows.lowest_group;
    return apart ? TileRule::negatives : TileRule::groups;
  }
  bool self(std::int64_t a, std::int64_t b) const { return pairs_.symmetric && a == b; }

 private:
  struct Thread {
    bool* started;
    T *values, *slivers, *panel;
  };

  Thread lay_out(Layout& layout) const {
    const std::int64_t chunk = std::min<std::int64_t>(pairs_.width, TileShape<T>::depth);
    Thread thread;
    thread.started = layout.take<bool>(1);
    thread.values = layout.take<T>(kept_values());
    thread.slivers = layout.take<T>(Product<T>::packed_values(tile_rows_, chunk));
    thread.panel = layout.take<T>(Product<T>::panel_values);
    return thread;
  }

  Tile<T> tile_of(std::int64_t a, std::int64_t b, T* values) const {
    const int columns = pairs_.columns.blocks[b].rows;
    return {values, pairs_.rows.blocks[a].rows, columns, tile_stride<T>(columns), false};
  }

  std::int64_t kept_values() const {
    constexpr std::int64_t line = 64 / sizeof(T);
    return round_up(tile_values<T>(tile_rows_, tile_rows_), line);
  }

  T* kept_dots(std::int64_t a, std::int64_t b) const {
    const std::int64_t columns = pairs_.columns.block_count;
    const std::int64_t tile = pairs_.symmetric ? b * (b + 1) / 2 + a : a * columns + b;  // symmetric: a <= b
    return static_cast<T*>(pairs_.dots) + tile * kept_values();
  }

  CenteredRows<T> centered(const PairSide& side) const { return uncentered<T>(side, pairs_.width, no_center_); }

  const PairProblem& pairs_;
  const Execution& execution_;
  AlignedBuffer no_center_;
  std::int64_t tile_rows_ = 0;
};

// The plan of two walks side by side, the scratch of the second one behind that of the first.
inline WalkPlan joined(WalkPlan plan, const WalkPlan& beside) {
  plan.flops += beside.flops;
  plan.scratch_bytes += beside.scratch_bytes;
  return plan;
}

// Two problems whose blocks have the same rows, side by side: body(tile of one, tile of the other, a, b). `products`
// are those of the first problem; the second has one.
template <class T, class Body>
void for_each_of_both(const ContrastWalk<T>& first, const ContrastWalk<T>& second, double products, Body body) {
  const WalkPlan own = first.plan(products);
  const std::size_t own_bytes = own.scratch_bytes;
  first.walk_blocks(joined(own, second.plan(1)), [&](std::int64_t a, std::int64_t b, char* memory) {
    body(first.dot_products(a, b, memory), second.dot_products(a, b, memory + own_bytes), a, b);
  });
}

// The walk of a problem that may have a guide, whose dot products are multiplied beside its own.
template <class T>
class GuidedWalk : public ContrastWalk<T> {
 public:
  GuidedWalk(const PairProblem& pairs, const Execution& execution)
      : ContrastWalk<T>(pairs, execution),
        guided_(pairs.guide != nullptr),
        guide_(guided_ ? *pairs.guide : pairs, execution),
        own_bytes_(ContrastWalk<T>::plan(1).scratch_bytes) {}

  WalkPlan plan(double products) const {
    const WalkPlan own = ContrastWalk<T>::plan(products);
    return guided_ ? joined(own, guide_.plan(1)) : own;
  }

  // What limits are compared with; `memory` is the scratch of this plan.
  Tile<T> compared(const Tile<T>& dots, std::int64_t a, std::int64_t b, char* memory) const {
    return guided_ ? guide_.dot_products(a, b, memory + own_bytes_) : dots;
  }

 private:
  const bool guided_;
  const ContrastWalk<T> guide_;
  const std::size_t own_bytes_;
};

template <class T>
PairRule<T> rule_of(const PairSide& side, std::int64_t first) {
  return {static_cast<const Bits<T>*>(side.groups) + first, static_cast<const T*>(side.limits) + first,
          static_cast<const T*>(side.floors) + first};
}

}  // namespace GRAMLESS_ISA
}  // namespace gramless
