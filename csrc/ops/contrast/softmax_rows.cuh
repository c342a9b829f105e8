// Common to the kernels for softmax sums: which tiles of columns a block of rows is multiplied by, and the sums of a
// thread.
#pragma once

#include <cmath>

#include "engine/tile/owned.cuh"
#include "epilogues/logit.cuh"
#include "ops/contrast/softmax_sums.cuh"

namespace gramless::cuda {

// One thread's sums over its entries of a row.
template <class T>
struct SoftmaxState {
  T shift;
  double negative = 0, positive = 0, positive_logit = 0;
  int count = 0;

  __device__ void rescale(T highest) {
    const double factor = exp(static_cast<double>(shift) - static_cast<double>(highest));  // 0 before the first pair
    shift = highest;
    negative *= factor;
    positive *= factor;
  }

  // Merges with the same row's sums in another lane.
  __device__ void merge_lane(bool running, int bits) {
    if (running) {
      const T other = __shfl_xor_sync(all_lanes, shift, bits);
      if (other > shift) rescale(other);
    }
    negative += __shfl_xor_sync(all_lanes, negative, bits);
    positive += __shfl_xor_sync(all_lanes, positive, bits);
    positive_logit += __shfl_xor_sync(all_lanes, positive_logit, bits);
    count += __shfl_xor_sync(all_lanes, count, bits);
  }
};

// The groups of a tile's rows and columns.
struct TileGroups {
  const std::int32_t *rows, *columns;
};

// Which of a thread's entries are left out of their rows' sums: a bit for each, or none.
struct LeftOut {
  std::uint32_t bits;
  __device__ bool operator()(int entry) const { return (bits >> entry & 1u) != 0; }
};
struct NothingLeftOut {
  __device__ bool operator()(int) const { return false; }
};

// The entries above their row's limit.
template <class Operand, class Tile>
__device__ LeftOut above_limits(Tile& tile, const DevicePairs<Operand>& pairs, std::int64_t first_row) {
  static_assert(Tile::own_rows * Tile::own_cols <= 32);
  std::uint32_t above = 0;
#pragma unroll
  for (int r = 0; r < Tile::own_rows; r++) {
    const std::int64_t i = first_row + tile.row(r);
    const auto limit = static_cast<typename Operand::Value>(i < pairs.rows.count ? pairs.row_limits[i] : INFINITY);
#pragma unroll
    for (int c = 0; c < Tile::own_cols; c++) above |= (tile.at(r, c) > limit ? 1u : 0u) << (r * Tile::own_cols + c);
  }
  return {above};
}

// Adds a tile's row r. `Plain`: the tile owns all its pairs, and all are negatives that count; keep(r, c, weight) is
// then called for each.
template <bool Plain, bool Running, class Operand, class Tile, class T, class Left, class Keep>
__device__ __forceinline__ void add_row(Tile& tile, int r, const OwnedPairs& place, const TileGroups& groups,
                                        const Left& left_out, bool positives_raise, const Logit<Operand> logit_of,
                                        SoftmaxState<T>& state, Keep keep) {
  const std::int32_t group = Plain ? -1 : groups.rows[tile.row(r)];
  const auto owned = [&](int c) { return Plain || place.owns(tile.row(r), tile.col(c)); };
  const auto is_positive = [&](int c) { return !Plain && group >= 0 && groups.columns[tile.col(c)] == group; };
  const auto is_negative = [&](int c) { return Plain || (!is_positive(c) && !left_out(r * tile.own_cols + c)); };
  if constexpr (Running) {
    T highest = state.shift;
#pragma unroll
    for (int c = 0; c < tile.own_cols; c++) {
      const T logit = logit_of(tile.at(r, c));
      if (owned(c) && logit > highest && (is_negative(c) || (positives_raise && is_positive(c)))) highest = logit;
    }
    if (highest > state.shift) state.rescale(highest);
  }
  T negative = 0, positive = 0, positive_logit = 0;
#pragma unroll
  for (int c = 0; c < tile.own_cols; c++) {
    const T dot = tile.at(r, c), weight = logit_of.template weight<Running>(dot, state.shift);
    if (Plain) {
      negative += weight;
      keep(r, c, weight);
    } else if (owned(c)) {
      if (is_positive(c)) {
        positive += weight;
        positive_logit += logit_of(dot);
        state.count++;
      } else if (is_negative(c)) {
        negative += weight;
      }
    }
  }
  state.negative += static_cast<double>(negative);
  if (Plain) return;
  state.positive += static_cast<double>(positive);
  state.positive_logit += static_cast<double>(positive_logit);
}

// One launch: blocks (x, y) of it are a block of rows and a strip of columns.
template <class Operand>
struct SumsTask {
  using Value = typename Operand::Value;
  using Shape = WarpRowsShape<Operand>;
  static constexpr int tiles_per_block = DevicePairs<Operand>::tiles_per_block;

  DevicePairs<Operand> pairs;
  CircularSchedule schedule;  // of blocks of rows, where pairs are symmetric
  int first, count;           // distances of this launch, else tiles of columns
  double* partials;           // (strips, 5, rows)
  Value* column_partials;     // (distances, padded rows)

  // The first distance or tile of a strip.
  __device__ int strip_begin(unsigned strip) const {
    return first + static_cast<int>(std::int64_t{count} * strip / gridDim.y);
  }

  // The sums of all columns over the blocks on their left at a distance.
  __device__ Value* column_sums(int distance) const {
    return column_partials + std::int64_t{distance - first} * schedule.blocks * Shape::rows;
  }

  // Whether the tiles of two blocks of rows are computed once for the sums of both.
  __device__ bool computed_once(int i, int j) const {
    const std::int64_t last = i > j ? i : j;
    if (i == j || pairs.scales->running || (last + 1) * Shape::rows > pairs.rows.count) return false;
    return pairs.blocks_all_negative(i, j);
  }

  // A step of a block of rows: the tile of columns it is multiplied by, or none.
  struct ColumnTile {
    int tile;
    bool for_columns;  // whether the columns' sums are computed too
    __device__ bool exists() const { return tile >= 0; }
  };
  // The number of steps at each distance: the tiles of the block on the right, then those of the block on the left.
  __device__ int tiles_at_distance() const { return pairs.symmetric ? 2 * tiles_per_block : 1; }
  __device__ int distance_of(int number) const { return pairs.symmetric ? number / (2 * tiles_per_block) : number; }
  __device__ ColumnTile column_tile(int i, int number) const {
    if (!pairs.symmetric) return {number, false};
    const int distance = distance_of(number);
    const bool on_left = number / tiles_per_block % 2 != 0;
    const int left = schedule.left_of(i, distance), right = schedule.right_of(i, distance);
    const int other = on_left ? left : right, of_other = number % tiles_per_block;
    const bool once = computed_once(i, other);
    if (on_left ? once || left == right : once && !schedule.owns_right(i, distance)) return {-1, false};
    return {other * tiles_per_block + of_other, once};
  }
};

// Writes the sums of a block's strip.
template <class Operand, class Tile, class T>
__device__ void store_states(const SumsTask<Operand>& task, const Tile& tile,
                             SoftmaxState<T> (&states)[Tile::own_rows]) {
  const std::int64_t rows = task.pairs.rows.count;
  double* const partials = task.partials + blockIdx.y * 5 * rows;
#pragma unroll
  for (int r = 0; r < Tile::own_rows; r++) {
    SoftmaxState<T>& state = states[r];
    for (const int bits : {1, 2}) state.merge_lane(task.pairs.scales->running, bits);
    const std::int64_t i = std::int64_t{blockIdx.x} * WarpRowsShape<Operand>::rows + tile.row(r);
    if (threadIdx.x % 4 != 0 || i >= rows) continue;
    partials[i] = static_cast<double>(state.shift);
    partials[rows + i] = state.negative;
    partials[2 * rows + i] = state.positive;
    partials[3 * rows + i] = state.positive_logit;
    partials[4 * rows + i] = state.count;
  }
}

}  // namespace gramless::cuda
