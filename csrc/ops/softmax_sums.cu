// Walk along a block of rows -> logits -> each anchor's softmax sums: the CUDA twin of softmax_sums.cpp.
#include "ops/softmax_sums.cuh"

#include <cmath>

#include "engine/pair_tile.cuh"
#include "epilogues/logit.cuh"

namespace gramless::cuda {
namespace {

// What one thread has seen of one of its rows.
template <class T>
struct RowState {
  T shift;
  double negative = 0, positive = 0, positive_logit = 0;
  int count = 0;

  __device__ void rescale(T highest) {
    const double factor = exp(static_cast<double>(shift) - static_cast<double>(highest));  // 0 before the first pair
    shift = highest;
    negative *= factor;
    positive *= factor;
  }

  // With the same row's state in another lane.
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

// A bit for each of a thread's entries that is above its row's limit.
template <class Operand, class Tile>
__device__ std::uint32_t above_limits(Tile& tile, const DevicePairs<Operand>& pairs, std::int64_t first_row) {
  static_assert(Tile::own_rows * Tile::own_cols <= 32);
  std::uint32_t above = 0;
#pragma unroll
  for (int r = 0; r < Tile::own_rows; r++) {
    const std::int64_t i = first_row + tile.row(r);
    const auto limit = static_cast<typename Operand::Value>(i < pairs.rows.count ? pairs.row_limits[i] : INFINITY);
#pragma unroll
    for (int c = 0; c < Tile::own_cols; c++) above |= (tile.at(r, c) > limit ? 1u : 0u) << (r * Tile::own_cols + c);
  }
  return above;
}

// Adds a tile's row r. `Plain`: the tile owns all its pairs, and all are negatives that count.
template <bool Plain, bool Running, class Operand, class Tile, class T>
__device__ void add_row(Tile& tile, int r, const PairTile& place, const TileGroups& groups, std::uint32_t left_out,
                        bool positives_raise, const Logit<Operand> logit_of, RowState<T>& state) {
  const std::int32_t group = Plain ? -1 : groups.rows[tile.row(r)];
  const auto owned = [&](int c) { return Plain || place.owns(tile.row(r), tile.col(c)); };
  const auto is_positive = [&](int c) { return !Plain && group >= 0 && groups.columns[tile.col(c)] == group; };
  const auto is_negative = [&](int c) {
    return Plain || (!is_positive(c) && !(left_out >> (r * tile.own_cols + c) & 1u));
  };
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
    const T logit = logit_of(tile.at(r, c)), weight = logit_of.template weight<Running>(logit, state.shift);
    if (Plain) {
      negative += weight;
    } else if (owned(c)) {
      if (is_positive(c)) {
        positive += weight;
        positive_logit += logit;
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

template <class Operand>
__device__ void sum_strip(const DevicePairs<Operand>& pairs, std::int64_t first_tile, std::int64_t last_tile,
                          double* partials) {
  using Shape = SoftmaxShape<Operand>;
  using Tile = DotTile<Operand, Shape>;
  using T = typename Operand::Value;
  Tile tile(shared_memory<char>());
  const Logit<Operand> logit_of{static_cast<T>(pairs.packed_scale())};
  const bool running = pairs.scales->running;
  const std::int64_t first_row = std::int64_t{blockIdx.x} * Shape::rows;
  RowState<T> states[Tile::own_rows];
#pragma unroll
  for (auto& state : states) state.shift = running ? static_cast<T>(-INFINITY) : static_cast<T>(pairs.scales->shift);
  for (std::int64_t t = first_tile; t < last_tile; t++) {
    const std::int64_t first_col = t * Shape::cols;
    const PairTile place(first_row, pairs.rows.count, first_col, pairs.columns.count, pairs.symmetric);
    const TileGroups groups{pairs.rows.groups + first_row, pairs.columns.groups + first_col};
    const bool plain = place.whole(Shape::rows, Shape::cols) && pairs.all_negative(blockIdx.x, t);
    tile.multiply(pairs.rows.rows, first_row, pairs.columns.rows, first_col);
    const auto add = [&]<bool Plain, bool Running>() {
      const bool limited = !Plain && pairs.row_limits != nullptr;
      const std::uint32_t left_out = limited ? above_limits(tile, pairs, first_row) : 0;
#pragma unroll
      for (int r = 0; r < Tile::own_rows; r++)
        add_row<Plain, Running>(tile, r, place, groups, left_out, pairs.positives_raise, logit_of, states[r]);
    };
    if (running)
      plain ? add.template operator()<true, true>() : add.template operator()<false, true>();
    else
      plain ? add.template operator()<true, false>() : add.template operator()<false, false>();
  }
#pragma unroll
  for (int r = 0; r < Tile::own_rows; r++) {
    RowState<T>& state = states[r];
    for (const int bits : {1, 2}) state.merge_lane(running, bits);
    const std::int64_t i = first_row + tile.row(r), rows = pairs.rows.count;
    if (threadIdx.x % 4 != 0 || i >= rows) continue;
    partials[i] = static_cast<double>(state.shift);
    partials[rows + i] = state.negative;
    partials[2 * rows + i] = state.positive;
    partials[3 * rows + i] = state.positive_logit;
    partials[4 * rows + i] = state.count;
  }
}

// Block (x, y): a block of rows against a strip of columns.
template <class Operand>
__global__ void __launch_bounds__(SoftmaxShape<Operand>::threads, is_scaled<Operand> ? 1 : 2)
    sum_softmax(DevicePairs<Operand> pairs, std::int64_t tiles, double* partials) {
  const std::int64_t strip = blockIdx.y, strips = gridDim.y;
  const std::int64_t first = tiles * strip / strips, last = tiles * (strip + 1) / strips;
  sum_strip(pairs, first, last, partials + strip * 5 * pairs.rows.count);
}

// Merges an anchor's strips, in their order.
__global__ void merge_strips(const double* partials, std::int64_t strips, std::int64_t rows, DeviceAnchorSums sums) {
  const std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i >= rows) return;
  double top = -INFINITY, negative = 0, positive = 0, positive_logit = 0, count = 0;
  for (std::int64_t strip = 0; strip < strips; strip++) {
    const double shift = partials[strip * 5 * rows + i];
    top = shift > top ? shift : top;
  }
  for (std::int64_t strip = 0; strip < strips; strip++) {
    const double* const of_strip = partials + strip * 5 * rows + i;
    const double factor = of_strip[0] == top ? 1 : exp(of_strip[0] - top);  // also where both are -infinity
    negative += of_strip[rows] * factor;
    positive += of_strip[2 * rows] * factor;
    positive_logit += of_strip[3 * rows];
    count += of_strip[4 * rows];
  }
  sums.shift[i] = top;
  sums.negative[i] = negative;
  sums.positive[i] = positive;
  sums.positive_logit[i] = positive_logit;
  sums.count[i] = count;
}

}  // namespace

template <class Operand>
SoftmaxSums<Operand>::SoftmaxSums(std::int64_t rows, std::int64_t columns, DeviceLayout& layout)
    : rows_(rows), strips_(strips_of<Operand>(rows, columns, 1)), partials_(layout.take<double>(strips_ * 5 * rows)) {}

template <class Operand>
void SoftmaxSums<Operand>::run(const DevicePairs<Operand>& pairs, const DeviceAnchorSums& sums, Queue& queue) const {
  using Shape = SoftmaxShape<Operand>;
  const std::int64_t tiles = blocks_of(pairs.columns.count, Shape::cols);
  queue.launch(sum_softmax<Operand>,
               {static_cast<unsigned>(blocks_of(rows_, Shape::rows)), static_cast<unsigned>(strips_)}, Shape::threads,
               DotTile<Operand, Shape>::ring_bytes, pairs, tiles, partials_);
  queue.launch(merge_strips, {static_cast<unsigned>(blocks_of(rows_, 256))}, 256, 0, partials_, strips_, rows_, sums);
}

template class SoftmaxSums<BfloatOperand>;
template class SoftmaxSums<HalfOperand>;
template class SoftmaxSums<SplitOperand>;
template class SoftmaxSums<DoubleOperand>;

}  // namespace gramless::cuda
