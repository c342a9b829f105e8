// Walk along a block of rows -> logits -> each anchor's softmax sums: the CUDA twin of softmax_sums.cpp.
#include "ops/contrast/softmax_hopper.cuh"
#include "ops/contrast/softmax_rows.cuh"
#include "reductions/column_sums.cuh"

namespace gramless::cuda {
namespace {

// Column sums of a tile's weights, after all warps have written those of their rows to shared memory. The next tile's
// product has barriers between these reads and the following writes.
template <class Operand, class Tile>
__device__ void store_column_sums(Tile& weights, typename Operand::Value* of_warps, typename Operand::Value* to) {
  using Shape = WarpRowsShape<Operand>;
  const int thread = static_cast<int>(threadIdx.x), warp = thread / warp_lanes;
  for_each_column_sum(
      weights, [&](int r, int c) { return weights.at(r, c); },
      [&](int column, auto sum) { of_warps[warp * Shape::cols + column] = sum; });
  __syncthreads();  // all warps have written their column sums
  if (thread >= Shape::cols) return;
  typename Operand::Value sum = 0;
#pragma unroll
  for (int w = 0; w < Shape::warps_down; w++) sum += of_warps[w * Shape::cols + thread];
  to[thread] = sum;
}

template <class Operand>
__device__ void sum_strip(const SumsTask<Operand>& task, int first, int last) {
  using Shape = WarpRowsShape<Operand>;
  using Tile = DotTile<Operand, Shape>;
  using T = typename Operand::Value;
  char* const memory = shared_memory<char>();
  Tile tile(memory);
  const DevicePairs<Operand>& pairs = task.pairs;
  const Logit<Operand> logit_of = pairs.logits();
  const bool running = pairs.scales->running;
  const int block = static_cast<int>(blockIdx.x);
  const std::int64_t first_row = std::int64_t{block} * Shape::rows;
  SoftmaxState<T> states[Tile::own_rows];
#pragma unroll
  for (auto& state : states) state.shift = running ? static_cast<T>(-INFINITY) : static_cast<T>(pairs.scales->shift);
  for (int number = first * task.tiles_at_distance(); number < last * task.tiles_at_distance(); number++) {
    const auto column_tile = task.column_tile(block, number);
    if (!column_tile.exists()) continue;
    const std::int64_t first_col = std::int64_t{column_tile.tile} * Shape::cols;
    const OwnedPairs place(first_row, pairs.rows.count, first_col, pairs.columns.count, pairs.symmetric);
    const TileGroups groups{pairs.rows.groups + first_row, pairs.columns.groups + first_col};
    const bool plain = place.whole(Shape::rows, Shape::cols) && pairs.all_negative(block, column_tile.tile);
    tile.multiply(pairs.rows.rows, first_row, pairs.columns.rows, first_col);
    const auto add = [&]<bool Plain, bool Running>() {
      const bool limited = !Plain && pairs.row_limits != nullptr;
      const LeftOut left_out = limited ? above_limits(tile, pairs, first_row) : LeftOut{0};
#pragma unroll
      for (int r = 0; r < Tile::own_rows; r++)
        add_row<Plain, Running>(tile, r, place, groups, left_out, pairs.positives_raise, logit_of, states[r],
                                [&](int row, int c, T weight) { tile.at(row, c) = weight; });
      if constexpr (Plain && !Running)
        if (column_tile.for_columns)
          store_column_sums<Operand>(tile, reinterpret_cast<T*>(memory + Tile::ring_bytes),
                                     task.column_sums(task.distance_of(number)) + first_col);
    };
    if (running)
      plain ? add.template operator()<true, true>() : add.template operator()<false, true>();
    else
      plain ? add.template operator()<true, false>() : add.template operator()<false, false>();
  }
  store_states(task, tile, states);
}

// Blocks on a multiprocessor.
template <class Operand>
constexpr int sums_on_each = is_scaled<Operand> ? 1 : 2;

template <class Operand>
__global__ void __launch_bounds__(WarpRowsShape<Operand>::threads, sums_on_each<Operand>)
    sum_softmax(SumsTask<Operand> task) {
  sum_strip(task, task.strip_begin(blockIdx.y), task.strip_begin(blockIdx.y + 1));
}

// Adds the results of a launch to an anchor's sums: strips in their order, then the column sums of other blocks.
template <class Operand>
__global__ void merge_partials(SumsTask<Operand> task, std::int64_t strips, DeviceAnchorSums sums) {
  const std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x, rows = task.pairs.rows.count;
  if (i >= rows) return;
  const double earlier = task.first == 0 ? -INFINITY : sums.shift[i];  // no sum yet
  double top = earlier;
  for (std::int64_t strip = 0; strip < strips; strip++) {
    const double shift = task.partials[strip * 5 * rows + i];
    top = shift > top ? shift : top;
  }
  // The factor is 1 also if both are -infinity.
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
    constexpr int block_rows = WarpRowsShape<Operand>::rows;
    const int block = static_cast<int>(i / block_rows);
    for (int distance = task.first; distance < task.first + task.count; distance++) {
      const int other = task.schedule.left_of(block, distance);
      if (task.computed_once(other, block) && task.schedule.owns_right(other, distance))
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
                                  std::int64_t busy_blocks, DeviceLayout& layout)
    : rows_(rows),
      schedule_{static_cast<int>(blocks_of(rows, Shape::rows))},
      count_(symmetric ? schedule_.distances() : static_cast<int>(blocks_of(columns, Shape::cols))),
      step_(count_) {
  const std::int64_t padded_rows = DeviceContrastRows<Operand>::padded(rows);
  if (symmetric) {
    const std::int64_t fitting = stored_bytes / (padded_rows * static_cast<std::int64_t>(sizeof(Value)));
    step_ = static_cast<int>(blocks_of(count_, blocks_of(count_, fitting > 1 ? fitting : 1)));
    columns = std::int64_t{step_} * Shape::rows;  // of one launch
  }
  strips_ = launch_strips<Operand>(rows, columns, 1, blocks_at_once(busy_blocks, sums_on_each<Operand>));
  partials_ = layout.take<double>(strips_ * 5 * rows);
  column_partials_ = layout.take<Value>(symmetric ? step_ * padded_rows : 0);
}

template <class Operand>
void SoftmaxSums<Operand>::run(const DevicePairs<Operand>& pairs, const DeviceAnchorSums& sums,
                               LaunchStream& launches) const {
  constexpr std::size_t shared = DotTile<Operand, Shape>::ring_bytes + Shape::warps_down * Shape::cols * sizeof(Value);
  const Grid blocks{static_cast<unsigned>(schedule_.blocks), static_cast<unsigned>(strips_)};
  const bool on_hopper = hopper_wanted();
  for (int first = 0; first < count_; first += step_) {
    const int count = first + step_ < count_ ? step_ : count_ - first;
    const SumsTask<Operand> task{pairs, schedule_, first, count, partials_, column_partials_};
    if (!(on_hopper && sum_softmax_on_hopper(task, strips_, launches)))
      launches.launch(sum_softmax<Operand>, blocks, Shape::threads, shared, task);
    launches.launch(merge_partials<Operand>, {static_cast<unsigned>(blocks_of(rows_, 256))}, 256, 0, task, strips_,
                    sums);
  }
}

template class SoftmaxSums<BfloatOperand>;
template class SoftmaxSums<HalfOperand>;
template class SoftmaxSums<SplitOperand>;
template class SoftmaxSums<DoubleOperand>;

}  // namespace gramless::cuda
