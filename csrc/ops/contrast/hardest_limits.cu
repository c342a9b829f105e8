// Walk over strips, some blocks of anchors by all of their keys -> nothing -> each anchor's k-th most similar negative:
// the CUDA twin of hardest_limits.cpp.
#include "ops/contrast/hardest_limits.cuh"

#include <cmath>

#include "engine/instructions/block_sums.cuh"
#include "reductions/excluded_count.hpp"

namespace gramless::cuda {
namespace {

constexpr int select_threads = 256, select_warps = select_threads / warp_lanes;
constexpr int digit_bits = 8;  // a thread has one value of a digit

template <class Operand>
__global__ void fill_limit(DevicePairs<Operand> pairs, double limit, double* limits, std::int64_t rows) {
  const std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i < rows) limits[i] = static_cast<double>(pairs.template packed_limit<typename Operand::Value>(limit));
}

// Block (x, y): tile x of the strip's block y.
template <class Operand>
__global__ void __launch_bounds__(WarpRowsShape<Operand>::threads)
    store_dots(DevicePairs<Operand> pairs, std::int64_t first_block, std::int64_t stride,
               typename Operand::Value* values) {
  using Shape = WarpRowsShape<Operand>;
  DotTile<Operand, Shape> tile(shared_memory<char>());
  const std::int64_t first_col = std::int64_t{blockIdx.x} * Shape::cols;
  tile.multiply(pairs.rows.rows, (first_block + blockIdx.y) * Shape::rows, pairs.columns.rows, first_col);
#pragma unroll
  for (int r = 0; r < tile.own_rows; r++)
#pragma unroll
    for (int c = 0; c < tile.own_cols; c++)
      values[(std::int64_t{blockIdx.y} * Shape::rows + tile.row(r)) * stride + first_col + tile.col(c)] = tile.at(r, c);
}

template <class T>
using OrderOf = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;

// A float's bits as an integer that orders as the float does.
template <class T>
__device__ OrderOf<T> order_of(T value) {
  OrderOf<T> bits;
  memcpy(&bits, &value, sizeof bits);
  const OrderOf<T> sign = OrderOf<T>{1} << (8 * sizeof(T) - 1);
  return bits & sign ? ~bits : bits | sign;
}
template <class T>
__device__ T similarity_of(OrderOf<T> order) {
  const OrderOf<T> sign = OrderOf<T>{1} << (8 * sizeof(T) - 1), bits = order & sign ? order ^ sign : ~order;
  T value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

// One anchor's row of dot products, some of which are with negatives.
template <class T>
struct NegativesOf {
  const T* values;
  const std::int32_t* groups;  // of the columns
  std::int64_t columns, self;  // the column that is the anchor itself, or -1
  std::int32_t group;

  // The block's threads call use(value), each for its own columns.
  template <class Use>
  __device__ void for_each(Use use) const {
    for (std::int64_t j = threadIdx.x; j < columns; j += select_threads)
      if (j != self && !(group >= 0 && groups[j] == group)) use(values[j]);
  }
};

struct DigitCounts {
  unsigned counts[1 << digit_bits];
  unsigned chosen;
  unsigned long long rank;
};

// The k-th largest, k = 1 the largest, digit by digit from the highest; every thread of the block must call this.
template <class T>
__device__ T kth_largest(const NegativesOf<T>& negatives, unsigned long long k, DigitCounts& shared) {
  constexpr int bits = 8 * static_cast<int>(sizeof(T));
  const auto thread = static_cast<unsigned>(threadIdx.x);
  OrderOf<T> known = 0;
#pragma unroll 1
  for (int shift = bits - digit_bits; shift >= 0; shift -= digit_bits) {
    shared.counts[thread] = 0;
    __syncthreads();  // all threads have set the counts to 0
    negatives.for_each([&](T value) {
      const OrderOf<T> order = order_of(value);
      const bool alike = shift == bits - digit_bits || order >> (shift + digit_bits) == known;
      if (alike) atomicAdd(&shared.counts[(order >> shift) & ((1u << digit_bits) - 1)], 1u);
    });
    __syncthreads();  // the row is counted
    unsigned long long above = 0;
    for (unsigned other = thread + 1; other < 1u << digit_bits; other++) above += shared.counts[other];
    if (above < k && k <= above + shared.counts[thread]) {
      shared.chosen = thread;
      shared.rank = k - above;
    }
    __syncthreads();  // the digit is chosen
    known = known << digit_bits | shared.chosen;
    k = shared.rank;
  }
  return similarity_of<T>(known);
}

template <class T>
struct SelectTask {
  const T* values;  // (rows of the strip, stride)
  std::int64_t first, stride, columns;
  const std::int32_t *row_groups, *column_groups;
  bool symmetric;
  HardestNegatives which;
  double* limits;  // (anchors)
};

// A block selects the limit of one anchor.
template <class T>
__global__ void __launch_bounds__(select_threads, 1) select_limits(SelectTask<T> task) {
  const std::int64_t i = task.first + blockIdx.x;
  const NegativesOf<T> negatives{task.values + std::int64_t{blockIdx.x} * task.stride, task.column_groups, task.columns,
                                 task.symmetric ? i : -1, task.row_groups[i]};
  double* const shared = shared_memory<double>();
  double seen[2] = {};  // how many, and how many of them are NaN
  T largest = 0;
  negatives.for_each([&](T value) {
    const T magnitude = value < 0 ? -value : value;
    seen[0]++;
    if (value != value) seen[1]++;
    largest = magnitude > largest ? magnitude : largest;
  });
  sum_over_block(seen, shared);
  largest = largest_of_warp(largest);
  const int warp = static_cast<int>(threadIdx.x) / warp_lanes;
  T* const of_warps = reinterpret_cast<T*>(shared);
  if (threadIdx.x % warp_lanes == 0) of_warps[warp] = largest;
  __syncthreads();  // all warps have written their largest
  for (int w = 0; w < select_warps; w++) largest = of_warps[w] > largest ? of_warps[w] : largest;
  __syncthreads();  // and have been read
  const double k = excluded_count(task.which.fraction, seen[0]);
  double limit = k == 0 ? INFINITY : NAN;
  if (k > 0 && seen[1] == 0) {
    const T hardest =
        kth_largest(negatives, static_cast<unsigned long long>(k), *reinterpret_cast<DigitCounts*>(shared));
    limit = static_cast<double>(hardest) - task.which.tie * static_cast<double>(largest);
  }
  if (threadIdx.x == 0) task.limits[i] = limit;
}

}  // namespace

template <class Operand>
void fill_limits(const DevicePairs<Operand>& pairs, double limit, double* limits, std::int64_t rows,
                 LaunchStream& launches) {
  launches.launch(fill_limit<Operand>, {static_cast<unsigned>(blocks_of(rows, 256))}, 256, 0, pairs, limit, limits,
                  rows);
}
template void fill_limits(const DevicePairs<BfloatOperand>&, double, double*, std::int64_t, LaunchStream&);
template void fill_limits(const DevicePairs<HalfOperand>&, double, double*, std::int64_t, LaunchStream&);
template void fill_limits(const DevicePairs<SplitOperand>&, double, double*, std::int64_t, LaunchStream&);
template void fill_limits(const DevicePairs<DoubleOperand>&, double, double*, std::int64_t, LaunchStream&);

template <class Operand>
HardestLimits<Operand>::HardestLimits(std::int64_t anchors, std::int64_t keys, bool two_way, std::int64_t stored_bytes,
                                      DeviceLayout& layout)
    : stored_bytes_(stored_bytes) {
  const std::int64_t forth = Strips(anchors, keys, stored_bytes).values(),
                     back = two_way ? Strips(keys, anchors, stored_bytes).values() : 0;
  values_ = layout.take<Value>(forth > back ? forth : back);
}

template <class Operand>
HardestLimits<Operand>::Strips::Strips(std::int64_t anchors, std::int64_t columns, std::int64_t stored_bytes)
    : all_blocks(blocks_of(anchors, Shape::rows)), stride(blocks_of(columns, Shape::cols) * Shape::cols) {
  const std::int64_t fitting = stored_bytes / (Shape::rows * stride * static_cast<std::int64_t>(sizeof(Value)));
  blocks = fitting < 1 ? 1 : fitting < all_blocks ? fitting : all_blocks;
}

template <class Operand>
void HardestLimits<Operand>::run(const DevicePairs<Operand>& pairs, std::int64_t anchors, const HardestNegatives& which,
                                 double* limits, LaunchStream& launches) const {
  const Strips strips(anchors, pairs.columns.count, stored_bytes_);
  for (std::int64_t block = 0; block < strips.all_blocks; block += strips.blocks) {
    const std::int64_t left = strips.all_blocks - block, count = left < strips.blocks ? left : strips.blocks;
    const std::int64_t first = block * Shape::rows, end = first + count * Shape::rows;
    launches.launch(store_dots<Operand>,
                    {static_cast<unsigned>(strips.stride / Shape::cols), static_cast<unsigned>(count)}, Shape::threads,
                    DotTile<Operand, Shape>::ring_bytes, pairs, block, strips.stride, values_);
    const SelectTask<Value> task{
        values_,         first, strips.stride, pairs.columns.count, pairs.rows.groups, pairs.columns.groups,
        pairs.symmetric, which, limits};
    launches.launch(select_limits<Value>, {static_cast<unsigned>((end < anchors ? end : anchors) - first)},
                    select_threads, sizeof(DigitCounts), task);
  }
}

template class HardestLimits<BfloatOperand>;
template class HardestLimits<HalfOperand>;
template class HardestLimits<SplitOperand>;
template class HardestLimits<DoubleOperand>;

}  // namespace gramless::cuda
