// Walk along a block of rows -> logits -> each anchor's softmax sums: the CUDA twin of softmax_sums.cpp.
#include "ops/softmax_sums.cuh"

#include <cmath>

#include "engine/column_sums.cuh"
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
      tile.at(r, c) = weight;  // for the sums of columns
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

// One launch: blocks (x, y) of it are a block of rows and a strip of what those meet.
template <class Operand>
struct SumsTask {
  using Value = typename Operand::Value;
  using Shape = SoftmaxShape<Operand>;
  static constexpr int tiles_per_block = Shape::rows / Shape::cols;

  DevicePairs<Operand> pairs;
  Circle circle;           // of blocks of rows, where pairs are symmetric
  int first, count;        // distances of this launch around the circle, else tiles of columns
  double* partials;        // (strips, 5, rows)
  Value* column_partials;  // (distances, padded rows)

  // Of all columns, from the blocks on their left at a distance.
  __device__ Value* column_sums(int distance) const {
    return column_partials + std::int64_t{distance - first} * circle.blocks * Shape::rows;
  }

  // Whether the tiles of two blocks of rows are computed once, for the sums of both.
  __device__ bool computed_once(int i, int j) const {
    const std::int64_t last = i > j ? i : j;
    if (i == j || pairs.scales->running || (last + 1) * Shape::rows > pairs.rows.count) return false;
    for (int t = 0; t < tiles_per_block; t++)
      if (!pairs.all_negative(i, j * tiles_per_block + t)) return false;
    return true;
  }

  // Whom a block of rows meets at a time: a tile of columns, or nobody.
  struct Meeting {
    int tile;
    bool for_columns;  // whether for their sums, too
    __device__ bool takes_place() const { return tile >= 0; }
  };
  // With as many meetings at each distance.
  __device__ int meetings() const { return pairs.symmetric ? 2 * tiles_per_block : 1; }
  __device__ int distance_of(int number) const { return pairs.symmetric ? number / (2 * tiles_per_block) : number; }
  __device__ Meeting meeting(int i, int number) const {
    if (!pairs.symmetric) return {number, false};
    const int distance = distance_of(number);
    const bool on_left = number / tiles_per_block % 2 != 0;
    const int left = circle.left_of(i, distance), right = circle.right_of(i, distance);
    const int other = on_left ? left : right, of_other = number % tiles_per_block;
    const bool once = computed_once(i, other);
    if (on_left ? once || left == right : once && !circle.owns_right(i, distance)) return {-1, false};
    return {other * tiles_per_block + of_other, once};
  }
};

// Of a tile's weights, once all warps have those of their rows in shared memory. The next tile's product has barriers
// between these reads and the writes that come after it.
template <class Operand, class Tile>
__device__ void store_column_sums(Tile& weights, typename Operand::Value* of_warps, typename Operand::Value* to) {
  using Shape = SoftmaxShape<Operand>;
  const int thread = static_cast<int>(threadIdx.x), warp = thread / warp_lanes;
  for_each_column_sum(weights, [&](int column, auto sum) { of_warps[warp * Shape::cols + column] = sum; });
  __syncthreads();  // the column sums of all warps are there
  if (thread >= Shape::cols) return;
  typename Operand::Value sum = 0;
#pragma unroll
  for (int w = 0; w < Shape::warps_down; w++) sum += of_warps[w * Shape::cols + thread];
  to[thread] = sum;
}

template <class Operand>
__device__ void sum_strip(const SumsTask<Operand>& task, int first, int last) {
  using Shape = SoftmaxShape<Operand>;
  using Tile = DotTile<Operand, Shape>;
  using T = typename Operand::Value;
  char* const memory = shared_memory<char>();
  Tile tile(memory);
  const DevicePairs<Operand>& pairs = task.pairs;
  const Logit<Operand> logit_of{static_cast<T>(pairs.packed_scale())};
  const bool running = pairs.scales->running;
  const int block = static_cast<int>(blockIdx.x);
  const std::int64_t first_row = std::int64_t{block} * Shape::rows;
  RowState<T> states[Tile::own_rows];
#pragma unroll
  for (auto& state : states) state.shift = running ? static_cast<T>(-INFINITY) : static_cast<T>(pairs.scales->shift);
  for (int number = first * task.meetings(); number < last * task.meetings(); number++) {
    const auto meeting = task.meeting(block, number);
    if (!meeting.takes_place()) continue;
    const std::int64_t first_col = std::int64_t{meeting.tile} * Shape::cols;
    const PairTile place(first_row, pairs.rows.count, first_col, pairs.columns.count, pairs.symmetric);
    const TileGroups groups{pairs.rows.groups + first_row, pairs.columns.groups + first_col};
    const bool plain = place.whole(Shape::rows, Shape::cols) && pairs.all_negative(block, meeting.tile);
    tile.multiply(pairs.rows.rows, first_row, pairs.columns.rows, first_col);
    const auto add = [&]<bool Plain, bool Running>() {
      const bool limited = !Plain && pairs.row_limits != nullptr;
      const std::uint32_t left_out = limited ? above_limits(tile, pairs, first_row) : 0;
#pragma unroll
      for (int r = 0; r < Tile::own_rows; r++)
        add_row<Plain, Running>(tile, r, place, groups, left_out, pairs.positives_raise, logit_of, states[r]);
      if constexpr (Plain && !Running)
        if (meeting.for_columns)
          store_column_sums<Operand>(tile, reinterpret_cast<T*>(memory + Tile::ring_bytes),
                                     task.column_sums(task.distance_of(number)) + first_col);
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
    double* const partials = task.partials + blockIdx.y * 5 * rows;
    partials[i] = static_cast<double>(state.shift);
    partials[rows + i] = state.negative;
    partials[2 * rows + i] = state.positive;
    partials[3 * rows + i] = state.positive_logit;
    partials[4 * rows + i] = state.count;
  }
}

template <class Operand>
__global__ void __launch_bounds__(SoftmaxShape<Operand>::threads, is_scaled<Operand> ? 1 : 2)
    sum_softmax(SumsTask<Operand> task) {
  const std::int64_t strip = blockIdx.y, strips = gridDim.y, count = task.count;
  const int first = task.first + static_cast<int>(count * strip / strips),
            last = task.first + static_cast<int>(count * (strip + 1) / strips);
  sum_strip(task, first, last);
}

// Adds to an anchor's sums what a launch left: strips in their order, then what others summed for it.
template <class Operand>
__global__ void merge_partials(SumsTask<Operand> task, std::int64_t strips, DeviceAnchorSums sums) {
  const std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x, rows = task.pairs.rows.count;
  if (i >= rows) return;
  const double earlier = task.first == 0 ? -INFINITY : sums.shift[i];  // of nothing
  double top = earlier;
  for (std::int64_t strip = 0; strip < strips; strip++) {
    const double shift = task.partials[strip * 5 * rows + i];
    top = shift > top ? shift : top;
  }
  // Also where both are -infinity.
  const auto factor = [&](double shift) { return shift == top ? 1 : exp(shift - top); };
  double negative = sums.negative[i] * factor(earlier), positive = sums.positive[i] * factor(earlier),
         positive_logit = sums.positive_logit[i], count = sums.count[i];
  for (std::int64_t strip = 0; strip < strips; strip++) {
    const double* const of_strip = task.partials + strip * 5 * rows + i;
    negative += of_strip[rows] * factor(of_strip[0]);
    positive += of_strip[2 * rows] * factor(of_strip[0]);
    positive_logit += of_strip[3 * rows];
    count += of_strip[4 * rows];
  }
  if (task.pairs.symmetric) {
    constexpr int block_rows = SoftmaxShape<Operand>::rows;
    const int block = static_cast<int>(i / block_rows);
    for (int distance = task.first; distance < task.first + task.count; distance++) {
      const int other = task.circle.left_of(block, distance);
      if (task.computed_once(other, block) && task.circle.owns_right(other, distance))
        negative += static_cast<double>(task.column_sums(distance)[i]);
    }
  }
  sums.shift[i] = top;
  sums.negative[i] = negative;
  sums.positive[i] = positive;
  sums.positive_logit[i] = positive_logit;
  sums.count[i] = count;
}

}  // namespace

template <class Operand>
SoftmaxSums<Operand>::SoftmaxSums(std::int64_t rows, std::int64_t columns, bool symmetric, std::int64_t stored_bytes,
                                  DeviceLayout& layout)
    : rows_(rows),
      circle_{static_cast<int>(blocks_of(rows, Shape::rows))},
      count_(symmetric ? circle_.distances() : static_cast<int>(blocks_of(columns, Shape::cols))),
      step_(count_) {
  const std::int64_t padded_rows = DeviceContrastRows<Operand>::padded(rows);
  if (symmetric) {
    const std::int64_t fitting = stored_bytes / (padded_rows * static_cast<std::int64_t>(sizeof(Value)));
    step_ = static_cast<int>(blocks_of(count_, blocks_of(count_, fitting > 1 ? fitting : 1)));
    columns = std::int64_t{step_} * Shape::rows;  // of one launch
  }
  strips_ = strips_of<Operand>(rows, columns, 1);
  partials_ = layout.take<double>(strips_ * 5 * rows);
  column_partials_ = layout.take<Value>(symmetric ? step_ * padded_rows : 0);
}

template <class Operand>
void SoftmaxSums<Operand>::run(const DevicePairs<Operand>& pairs, const DeviceAnchorSums& sums, Queue& queue) const {
  constexpr std::size_t shared = DotTile<Operand, Shape>::ring_bytes + Shape::warps_down * Shape::cols * sizeof(Value);
  const Grid blocks{static_cast<unsigned>(circle_.blocks), static_cast<unsigned>(strips_)};
  for (int first = 0; first < count_; first += step_) {
    const int count = first + step_ < count_ ? step_ : count_ - first;
    const SumsTask<Operand> task{pairs, circle_, first, count, partials_, column_partials_};
    queue.launch(sum_softmax<Operand>, blocks, Shape::threads, shared, task);
    queue.launch(merge_partials<Operand>, {static_cast<unsigned>(blocks_of(rows_, 256))}, 256, 0, task, strips_, sums);
  }
}

template class SoftmaxSums<BfloatOperand>;
template class SoftmaxSums<HalfOperand>;
template class SoftmaxSums<SplitOperand>;
template class SoftmaxSums<DoubleOperand>;

}  // namespace gramless::cuda
