// The tiles of gram_sums.cu computed by two alternating warpgroups, each with half of a tile: one evaluates its kernel
// values while the other multiplies. A block computes tiles of neighbouring rounds. Copies of rows: 16 bytes of L2 for
// 1024 FLOPs, as in sum_tiles.
#include "ops/gram/gram_sums_hopper.cuh"

#include "engine/instructions/block_sums.cuh"
#include "engine/product/dot_tile_hopper.cuh"
#include "reductions/column_reduce_hopper.cuh"
#include "reductions/column_sums.cuh"

namespace gramless::cuda {
namespace {

constexpr std::int64_t most_tiles_of_block = 8;

template <class Operand>
struct HopperTask {
  GramTask<Operand> tiles;
  std::int64_t rounds, rounds_of_block;
};

template <class Operand>
struct HopperMemory {
  using Ring = BoxRing<Operand>;

  Ring ring;
  double products[Ring::warps][3];
  SharedColumns columns[2];  // of layer x; of layer y, and products with it

  __device__ void initialize() {
    ring.initialize();
    for (SharedColumns& of_layer : columns) of_layer.initialize();
    publish_barriers();
  }
};

// Calls visit(slot, pair) for a block's tiles: pair y of each of its rounds.
template <class Operand, class Visit>
__device__ __forceinline__ void for_each_tile(const HopperTask<Operand>& task, Visit visit) {
  const std::int64_t first = blockIdx.x * task.rounds_of_block, left = task.rounds - first;
  const std::int64_t count = left < task.rounds_of_block ? left : task.rounds_of_block;
  for (std::int64_t slot = first; slot < first + count; slot++)
    visit(slot, task.tiles.rounds.pair(task.tiles.first_round + slot, blockIdx.y));
}

// The two warpgroups that multiply.
template <class Operand>
class HopperSums {
 public:
  using Tile = DotTileHopper<Operand>;
  using Ring = BoxRing<Operand>;

  __device__ HopperSums(const HopperTask<Operand>& task, HopperMemory<Operand>& memory)
      : task_(task.tiles),
        memory_(memory),
        reader_(memory.ring),
        columns_{ColumnReduce(memory.columns[0]), ColumnReduce(memory.columns[1])},
        lane_(static_cast<int>(threadIdx.x) % warp_lanes),
        warp_(static_cast<int>(threadIdx.x) / warp_lanes) {}

  __device__ void add(std::int64_t slot, const BlockPair& pair) {
    double* const of_tile = task_.tile_partials + (slot * task_.rounds.pairs_per_round() + blockIdx.y) * 3;
    if (pair.i < 0) {
      if (threadIdx.x < 3) of_tile[threadIdx.x] = 0;
      return;
    }
    const std::int64_t first_row = pair.i * Ring::rows, first_col = pair.j * Ring::rows;
    const bool diagonal = first_row == first_col;
    float* const of_rows = task_.row_partials + slot * 2 * task_.padded_rows;
    float values_of_x[Tile::own_rows][Tile::own_cols];
    evaluate_layer(task_.x, 0, first_row, first_col, of_rows, [&](int r, int c, float k) { values_of_x[r][c] = k; });
    add_columns(0, diagonal ? nullptr : of_rows + first_col, nullptr);
    PairProducts<float> products;
    evaluate_layer(task_.y, 1, first_row, first_col, of_rows + task_.padded_rows,
                   [&](int r, int c, float l) { products.add(values_of_x[r][c], l); });
    for (int p = 0; p < 3; p++) {
      const double of_warp = sum_over_warp(products.once(p, diagonal));
      if (lane_ == 0) memory_.products[warp_][p] = of_warp;
    }
    add_columns(1, diagonal ? nullptr : of_rows + task_.padded_rows + first_col, of_tile);
  }

 private:
  // Calls visit(r, c, value) for the thread's kernel values. Sums along rows are stored, those down columns left in
  // shared memory.
  template <class Visit>
  __device__ __forceinline__ void evaluate_layer(const DeviceLayer<Operand>& layer, int number, std::int64_t first_row,
                                                 std::int64_t first_col, float* of_rows, Visit visit) {
    tile_.multiply(reader_, Ring::boxes(layer.rows));
    columns_[number].begin();
    const GramTileValues<Operand> values(layer, first_row, first_col, task_.n);
    const auto side = [&](std::int64_t first, int at) -> typename GramTileValues<Operand>::Side {
      return {at, layer.norms[first + at], is_scaled<Operand> ? layer.scales[first + at] : 1};
    };
    const typename GramTileValues<Operand>::Side rows[] = {side(first_row, tile_.row(0)),
                                                           side(first_row, tile_.row(1))};
    float sums[Tile::own_rows] = {0, 0};
    const auto evaluate = [&](int r, int c) {
      const float value = values(tile_.at(r, c), rows[r], side(first_col, tile_.col(c)));
      visit(r, c, value);
      sums[r] += value;
      return value;
    };
    for_each_column_sum(tile_, evaluate, [&](int column, float sum) { columns_[number].write(column, sum); });
#pragma unroll
    for (int r = 0; r < Tile::own_rows; r++) {
      sums[r] += __shfl_xor_sync(all_lanes, sums[r], 1);
      sums[r] += __shfl_xor_sync(all_lanes, sums[r], 2);
      if (lane_ % 4 == 0) of_rows[first_row + rows[r].at] = sums[r];
    }
  }

  __device__ void add_columns(int layer, float* columns, double* of_tile) {
    columns_[layer].end([&](int column, float sum) {
      if (columns != nullptr) columns[column] = sum;
      if (of_tile == nullptr || column >= 3) return;
      double products = 0;
      for (int warp = 0; warp < Ring::warps; warp++) products += memory_.products[warp][column];
      of_tile[column] = products;
    });
  }

  const GramTask<Operand>& task_;
  HopperMemory<Operand>& memory_;
  RingReader<Operand> reader_;
  ColumnReduce columns_[2];
  Tile tile_;
  int lane_, warp_;
};

// Tiles of round x and the next ones: pair y of each.
template <class Operand>
__global__ void __launch_bounds__(hopper_threads, 1)
    sum_tiles_hopper(const __grid_constant__ TensorMap x, const __grid_constant__ TensorMap y,
                     const __grid_constant__ HopperTask<Operand> task) {
  if constexpr (compiled_for_hopper) {
    auto& memory = *shared_memory<HopperMemory<Operand>>();
    if (threadIdx.x == 0) memory.initialize();
    __syncthreads();  // the barriers are initialized
    if (threadIdx.x >= BoxRing<Operand>::threads) {
      release_registers<writer_registers>();
      if (threadIdx.x != BoxRing<Operand>::threads) return;
      RingWriter<Operand> writer(memory.ring);
      for_each_tile(task, [&](std::int64_t, const BlockPair& pair) {
        if (pair.i < 0) return;
        const std::int64_t first_row = pair.i * BoxRing<Operand>::rows, first_col = pair.j * BoxRing<Operand>::rows;
        writer.load(x, task.tiles.x.rows, first_row, first_col);
        writer.load(y, task.tiles.y.rows, first_row, first_col);
      });
    } else {
      take_registers<reader_registers>();
      HopperSums<Operand> sums(task, memory);
      for_each_tile(task, [&](std::int64_t slot, const BlockPair& pair) { sums.add(slot, pair); });
    }
  } else {
    trap();
  }
}

}  // namespace

template <class Operand>
bool sum_tiles_on_hopper(const GramTask<Operand>& task, std::int64_t rounds, std::int64_t busy_blocks,
                         LaunchStream& launches) {
  if constexpr (sizeof(typename Operand::Element) == 2) {
    if (code_version<sum_tiles_hopper<Operand>>() != 90) return false;  // this build has no code for the device
    TensorMap x, y;
    launches.note(map_packed(x, task.x.rows, BoxRing<Operand>::rows));
    launches.note(map_packed(y, task.y.rows, BoxRing<Operand>::rows));
    const std::int64_t pairs_per_round = task.rounds.pairs_per_round(), many = rounds * pairs_per_round / busy_blocks;
    const std::int64_t of_block = many < 1 ? 1 : many < most_tiles_of_block ? many : most_tiles_of_block;
    launches.launch(sum_tiles_hopper<Operand>,
                    {static_cast<unsigned>(blocks_of(rounds, of_block)), static_cast<unsigned>(pairs_per_round)},
                    hopper_threads, sizeof(HopperMemory<Operand>), x, y, HopperTask<Operand>{task, rounds, of_block});
    return true;
  } else {
    return false;
  }
}

template bool sum_tiles_on_hopper(const GramTask<BfloatOperand>&, std::int64_t, std::int64_t, LaunchStream&);
template bool sum_tiles_on_hopper(const GramTask<HalfOperand>&, std::int64_t, std::int64_t, LaunchStream&);
template bool sum_tiles_on_hopper(const GramTask<SplitOperand>&, std::int64_t, std::int64_t, LaunchStream&);
template bool sum_tiles_on_hopper(const GramTask<Tf32Operand>&, std::int64_t, std::int64_t, LaunchStream&);
template bool sum_tiles_on_hopper(const GramTask<DoubleOperand>&, std::int64_t, std::int64_t, LaunchStream&);

}  // namespace gramless::cuda
