// The tiles of softmax_sums.cu and softmax_grad.cu computed by two alternating warpgroups: one evaluates its half of a
// tile while the other multiplies its half. A block's rows stay in shared memory; a tile of columns is copied once for
// both products of a backward, in which weights come from registers.
#include "ops/contrast/softmax_hopper.cuh"

#include "engine/product/resident_rows_hopper.cuh"
#include "reductions/column_reduce_hopper.cuh"
#include "reductions/column_sums.cuh"

namespace gramless::cuda {
namespace {

template <class Operand>
struct SumsMemory {
  ResidentRing<Operand> ring;
  SharedColumns columns;

  __device__ void initialize() {
    ring.initialize();
    columns.initialize();
    publish_barriers();
  }
};

template <class Operand>
struct GradMemory {
  ResidentRing<Operand> ring;

  __device__ void initialize() {
    ring.initialize();
    publish_barriers();
  }
};

// Calls write(writer) in the thread that copies, and read() in the warpgroups that multiply.
template <class Operand, class Memory, class Write, class Read>
__device__ __forceinline__ void take_turns(Memory& memory, const TensorMap& map, Write write, Read read) {
  using Ring = ResidentRing<Operand>;
  if (threadIdx.x == 0) memory.initialize();
  __syncthreads();  // the barriers are initialized
  if (threadIdx.x >= Ring::threads) {
    release_registers<writer_registers>();
    if (threadIdx.x != Ring::threads) return;
    ResidentWriter<Operand> writer(memory.ring, map);
    writer.load_rows(std::int64_t{blockIdx.x} * Ring::rows);
    write(writer);
  } else {
    take_registers<reader_registers>();
    read();
  }
}

// Calls visit(column_tile, number) for the tiles of columns of a block's strip.
template <class Operand, class Visit>
__device__ __forceinline__ void for_each_column_tile(const SumsTask<Operand>& task, Visit visit) {
  const int first = task.strip_begin(blockIdx.y) * task.tiles_at_distance(),
            last = task.strip_begin(blockIdx.y + 1) * task.tiles_at_distance();
  for (int number = first; number < last; number += task.tiles_per_block) {
    const auto column_tile = task.column_tile(static_cast<int>(blockIdx.x), number);
    if (column_tile.exists()) visit(column_tile, number);
  }
}

// The pairs of a block of rows with another one.
template <class Operand>
struct BlockPlace {
  std::int64_t first_row, first_col;
  OwnedPairs pairs;
  bool plain;  // all pairs exist and are negatives

  __device__ BlockPlace(const DevicePairs<Operand>& all, int other)
      : first_row(std::int64_t{blockIdx.x} * ResidentRing<Operand>::rows),
        first_col(std::int64_t{other} * ResidentRing<Operand>::rows),
        pairs(first_row, all.rows.count, first_col, all.rows.count, true),
        plain(pairs.whole(ResidentRing<Operand>::rows, ResidentRing<Operand>::rows) &&
              all.blocks_all_negative(blockIdx.x, other)) {}
};

template <class Operand>
__device__ __forceinline__ void sum_strip_hopper(const SumsTask<Operand>& task, SumsMemory<Operand>& memory) {
  using Tile = WarpgroupTile;
  const DevicePairs<Operand>& pairs = task.pairs;
  ResidentReader<Operand> reader(memory.ring);
  ColumnReduce columns(memory.columns);
  Tile tile;
  const Logit<Operand> logit_of = pairs.logits();
  const bool running = pairs.scales->running;
  SoftmaxState<float> states[Tile::own_rows];
#pragma unroll
  for (auto& state : states) state.shift = running ? -INFINITY : static_cast<float>(pairs.scales->shift);
  reader.wait_for_rows();
  for_each_column_tile(task, [&](const auto& column_tile, int number) {
    reader.turns.begin();
    const int stage = reader.take();
    fence_products();
    reader.multiply(tile.sums, stage);
    commit_products();
    reader.turns.end();
    wait_for_products<0>(tile.sums);
    reader.hand_back(stage);
    const BlockPlace<Operand> place(pairs, column_tile.tile / task.tiles_per_block);
    const TileGroups groups{pairs.rows.groups + place.first_row, pairs.rows.groups + place.first_col};
    const auto add = [&]<bool Plain, bool Running>() {
      float weights[Tile::own_rows][Tile::own_cols];
#pragma unroll
      for (int r = 0; r < Tile::own_rows; r++)
        add_row<Plain, Running>(tile, r, place.pairs, groups, NothingLeftOut(), pairs.positives_raise, logit_of,
                                states[r], [&](int row, int c, float weight) { weights[row][c] = weight; });
      if constexpr (Plain && !Running) {
        if (!column_tile.for_columns) return;
        columns.begin();
        for_each_column_sum(
            tile, [&](int r, int c) { return weights[r][c]; },
            [&](int column, float sum) { columns.write(column, sum); });
        float* const to = task.column_sums(task.distance_of(number)) + place.first_col;
        columns.end([&](int column, float sum) { to[column] = sum; });
      }
    };
    if (running)
      place.plain ? add.template operator()<true, true>() : add.template operator()<false, true>();
    else
      place.plain ? add.template operator()<true, false>() : add.template operator()<false, false>();
  });
  store_states(task, tile, states);
}

// Block (x, y): as in sum_softmax.
template <class Operand>
__global__ void __launch_bounds__(hopper_threads, 1)
    sum_softmax_hopper(const __grid_constant__ TensorMap map, const __grid_constant__ SumsTask<Operand> task) {
  if constexpr (compiled_for_hopper) {
    auto& memory = *shared_memory<SumsMemory<Operand>>();
    take_turns<Operand>(
        memory, map,
        [&](ResidentWriter<Operand>& writer) {
          for_each_column_tile(task, [&](const auto& column_tile, int) {
            writer.load_columns(std::int64_t{column_tile.tile} * WarpRowsShape<Operand>::cols);
          });
        },
        [&] { sum_strip_hopper(task, memory); });
  } else {
    trap();
  }
}

// Two neighbouring derivatives become one word of a fragment.
template <class Operand>
__device__ __forceinline__ std::uint32_t weight_pair(float low, float high) {
  if constexpr (std::is_same_v<Operand, BfloatOperand>)
    return bfloat_pair(low, high);
  else
    return half_pair(low, high);
}

template <class Operand>
__device__ __forceinline__ void grad_of_strip_hopper(const SoftmaxGradTask<Operand>& task, int first, int last,
                                                     GradMemory<Operand>& memory) {
  using Tile = WarpgroupTile;
  const DevicePairs<Operand>& pairs = task.pairs;
  ResidentReader<Operand> reader(memory.ring);
  Tile tile, gradient;
#pragma unroll
  for (float& sum : gradient.sums) sum = 0;
  typename ResidentReader<Operand>::Weights weights;
#pragma unroll
  for (auto& fragment : weights)
#pragma unroll
    for (std::uint32_t& word : fragment) word = 0;
  const Logit<Operand> logit_of = pairs.logits();
  const auto differentiate_block = [&](int other) {
    const BlockPlace<Operand> place(pairs, other);
    const auto rows = anchors_from(task.rows, pairs.rows.groups, place.first_row),
               columns = anchors_from(task.columns, pairs.rows.groups, place.first_col);
    const auto replace = [&]<bool Plain, bool Running>() {
      float even[Tile::own_rows];
      softmax_grad<Plain, Running, !Plain || Running>(
          tile, place.pairs, rows, columns, logit_of, [&](int r, int c, float derivative) {
            if (c % 2 == 0)
              even[r] = derivative;
            else
              weights[c / 4][c / 2 % 2 * 2 + r] = weight_pair<Operand>(even[r], derivative);
          });
    };
    if (pairs.scales->running)
      place.plain ? replace.template operator()<true, true>() : replace.template operator()<false, true>();
    else
      place.plain ? replace.template operator()<true, false>() : replace.template operator()<false, false>();
  };
  reader.wait_for_rows();
  int stage = 0;  // of the weights
  for (int other = first; other < last; other++) {
    reader.turns.begin();
    const int next = reader.take();
    if (other == first) stage = next;  // there are no weights yet
    fence_products();
    reader.multiply_weights(gradient.sums, weights, stage);
    reader.multiply(tile.sums, next);
    commit_products();
    reader.turns.end();
    wait_for_products<0>(gradient.sums);
    wait_for_products<0>(tile.sums);
    if (other > first) reader.hand_back(stage);
    stage = next;
    differentiate_block(other);
  }
  reader.turns.begin();
  fence_products();
  reader.multiply_weights(gradient.sums, weights, stage);
  commit_products();
  reader.turns.end();
  wait_for_products<0>(gradient.sums);
  const std::int64_t stride = pairs.rows.rows.stride(),
                     first_row = blockIdx.y * task.padded_rows + std::int64_t{blockIdx.x} * ResidentRing<Operand>::rows;
#pragma unroll
  for (int r = 0; r < Tile::own_rows; r++) {
    float* const out = task.partials + (first_row + gradient.row(r)) * stride;
#pragma unroll
    for (int c = 0; c < Tile::own_cols; c++)
      if (gradient.col(c) < stride) out[gradient.col(c)] = gradient.at(r, c);
  }
}

// Block (x, y): a block of rows against a strip of the others.
template <class Operand>
__global__ void __launch_bounds__(hopper_threads, 1)
    grad_of_rows_hopper(const __grid_constant__ TensorMap map, const __grid_constant__ SoftmaxGradTask<Operand> task) {
  if constexpr (compiled_for_hopper) {
    auto& memory = *shared_memory<GradMemory<Operand>>();
    const std::int64_t blocks = gridDim.x, strip = blockIdx.y, strips = gridDim.y;
    const int first = static_cast<int>(blocks * strip / strips), last = static_cast<int>(blocks * (strip + 1) / strips);
    take_turns<Operand>(
        memory, map,
        [&](ResidentWriter<Operand>& writer) {
          for (int other = first; other < last; other++)
            writer.load_columns(std::int64_t{other} * ResidentRing<Operand>::rows);
        },
        [&] { grad_of_strip_hopper(task, first, last, memory); });
  } else {
    trap();
  }
}

// Launches `Kernel` if this build has it for the device and it supports the pairs.
template <class Operand, auto Kernel, class Task>
bool launch_softmax_hopper(std::size_t memory_bytes, const Task& task, std::int64_t strips, LaunchStream& launches) {
  using Ring = ResidentRing<Operand>;
  const DevicePairs<Operand>& pairs = task.pairs;
  const std::int64_t width = pairs.rows.rows.stride();
  if (!pairs.symmetric || pairs.row_limits != nullptr || width <= box_width || width > Ring::width) return false;
  if (code_version<Kernel>() != 90) return false;
  TensorMap map;
  launches.note(map_packed(map, pairs.rows.rows, Ring::rows));
  const Grid blocks{static_cast<unsigned>(blocks_of(pairs.rows.count, Ring::rows)), static_cast<unsigned>(strips)};
  launches.launch(Kernel, blocks, hopper_threads, memory_bytes, map, task);
  return true;
}

template <class Operand>
constexpr bool runs_on_hopper = Operand::planes == 1 && sizeof(typename Operand::Element) == 2;

}  // namespace

template <class Operand>
bool sum_softmax_on_hopper(const SumsTask<Operand>& task, std::int64_t strips, LaunchStream& launches) {
  if constexpr (runs_on_hopper<Operand>)
    return launch_softmax_hopper<Operand, sum_softmax_hopper<Operand>>(sizeof(SumsMemory<Operand>), task, strips,
                                                                       launches);
  else
    return false;
}

template <class Operand>
bool grad_of_rows_on_hopper(const SoftmaxGradTask<Operand>& task, std::int64_t strips, LaunchStream& launches) {
  if constexpr (runs_on_hopper<Operand>)
    return launch_softmax_hopper<Operand, grad_of_rows_hopper<Operand>>(sizeof(GradMemory<Operand>), task, strips,
                                                                        launches);
  else
    return false;
}

template bool sum_softmax_on_hopper(const SumsTask<BfloatOperand>&, std::int64_t, LaunchStream&);
template bool sum_softmax_on_hopper(const SumsTask<HalfOperand>&, std::int64_t, LaunchStream&);
template bool sum_softmax_on_hopper(const SumsTask<SplitOperand>&, std::int64_t, LaunchStream&);
template bool sum_softmax_on_hopper(const SumsTask<DoubleOperand>&, std::int64_t, LaunchStream&);
template bool grad_of_rows_on_hopper(const SoftmaxGradTask<BfloatOperand>&, std::int64_t, LaunchStream&);
template bool grad_of_rows_on_hopper(const SoftmaxGradTask<HalfOperand>&, std::int64_t, LaunchStream&);
template bool grad_of_rows_on_hopper(const SoftmaxGradTask<SplitOperand>&, std::int64_t, LaunchStream&);
template bool grad_of_rows_on_hopper(const SoftmaxGradTask<DoubleOperand>&, std::int64_t, LaunchStream&);

}  // namespace gramless::cuda
