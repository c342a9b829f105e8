// Walk over rounds of tiles -> the kernel functions of two layers -> inner products and row sums: the CUDA twin of
// gram_sums.cpp for one pair of layers.
#include "ops/gram/gram_sums.cuh"

#include "engine/instructions/block_sums.cuh"
#include "ops/gram/gram_sums_hopper.cuh"
#include "ops/gram/gram_task.cuh"

namespace gramless::cuda {
namespace {

constexpr std::int64_t partial_bytes = 64 << 20;

// A block sums one tile: pair y of round x.
template <class Operand>
__global__ void __launch_bounds__(SquareShape<Operand>::threads) sum_tiles(GramTask<Operand> task) {
  using Value = typename Operand::Value;
  using Shape = SquareShape<Operand>;
  using Tile = DotTile<Operand, Shape>;
  char* const memory = shared_memory<char>();
  const std::int64_t slot = blockIdx.x, pairs_per_round = task.rounds.pairs_per_round();
  const BlockPair pair = task.rounds.pair(task.first_round + slot, blockIdx.y);
  if (pair.i < 0) {
    if (threadIdx.x < 3) task.tile_partials[(slot * pairs_per_round + blockIdx.y) * 3 + threadIdx.x] = 0;
    return;
  }
  const std::int64_t first_row = pair.i * Shape::rows, first_col = pair.j * Shape::cols;
  const auto store = [&](Tile& tile, int layer) {
    Value* const sums = task.row_partials + (slot * 2 + layer) * task.padded_rows;
    store_row_sums(tile, memory, sums + first_row, first_row == first_col ? nullptr : sums + first_col);
  };
  Tile of_x(memory), of_y(memory);
  of_x.multiply(task.x.rows, first_row, task.x.rows, first_col);
  evaluate_kernel(of_x, task.x, first_row, first_col, task.n);
  store(of_x, 0);
  of_y.multiply(task.y.rows, first_row, task.y.rows, first_col);
  evaluate_kernel(of_y, task.y, first_row, first_col, task.n);
  store(of_y, 1);
  PairProducts<Value> products;
#pragma unroll
  for (int r = 0; r < Tile::own_rows; r++)
#pragma unroll
    for (int c = 0; c < Tile::own_cols; c++) products.add(of_x.at(r, c), of_y.at(r, c));
  const bool diagonal = first_row == first_col;
  double sums[3] = {products.once(0, diagonal), products.once(1, diagonal), products.once(2, diagonal)};
  sum_over_block(sums, reinterpret_cast<double*>(memory));
  if (threadIdx.x == 0)
    for (int p = 0; p < 3; p++) task.tile_partials[(slot * pairs_per_round + blockIdx.y) * 3 + p] = sums[p];
}

constexpr int add_threads = 256;

// Adds the results of a launch, round after round. The last block adds the products.
template <class T>
__global__ void __launch_bounds__(add_threads)
    add_rounds(const T* row_partials, const double* tile_partials, std::int64_t rounds, std::int64_t tiles,
               std::int64_t n, std::int64_t padded_rows, double* row_sums, double* products) {
  if (blockIdx.x + 1 == gridDim.x) {
    double sums[3] = {0, 0, 0};
    for (std::int64_t tile = threadIdx.x; tile < tiles; tile += add_threads)
      for (int p = 0; p < 3; p++) sums[p] += tile_partials[tile * 3 + p];
    sum_over_block(sums, shared_memory<double>());
    if (threadIdx.x == 0)
      for (int p = 0; p < 3; p++) products[p] += sums[p];
    return;
  }
  const std::int64_t i = std::int64_t{blockIdx.x} * add_threads + threadIdx.x;
  if (i >= n) return;
  for (int layer = 0; layer < 2; layer++) {
    double sum = row_sums[layer * n + i];
    for (std::int64_t round = 0; round < rounds; round++)
      sum += static_cast<double>(row_partials[(round * 2 + layer) * padded_rows + i]);
    row_sums[layer * n + i] = sum;
  }
}

}  // namespace

template <class Operand>
GramSums<Operand>::GramSums(std::int64_t rows, std::int64_t busy_blocks, DeviceLayout& layout)
    : rows_(rows),
      busy_blocks_(busy_blocks == of_device ? 4 * multiprocessors() : busy_blocks),
      rounds_{blocks_of(rows, Shape::rows)} {
  const std::int64_t rounds = rounds_per_launch();
  row_partials_ = layout.take<Value>(rounds * 2 * DeviceLayer<Operand>::padded_rows(rows));
  tile_partials_ = layout.take<double>(rounds * rounds_.pairs_per_round() * 3);
}

template <class Operand>
std::int64_t GramSums<Operand>::rounds_per_launch() const {
  const std::int64_t padded = DeviceLayer<Operand>::padded_rows(rows_);
  const std::int64_t fitting = partial_bytes / (2 * padded * static_cast<std::int64_t>(sizeof(Value)));
  const std::int64_t wanted = fitting < 8 ? 8 : fitting;
  return wanted < rounds_.count() ? wanted : rounds_.count();
}

template <class Operand>
void GramSums<Operand>::run(const DeviceLayer<Operand>& x, const DeviceLayer<Operand>& y, bool of_root,
                            double* products, double* row_sums, LaunchStream& launches) const {
  using Tile = DotTile<Operand, Shape>;
  constexpr std::size_t sums_bytes = sizeof(TileSums<Value, Shape>);
  constexpr std::size_t shared = sums_bytes > Tile::ring_bytes ? sums_bytes : Tile::ring_bytes;
  const std::int64_t padded = DeviceLayer<Operand>::padded_rows(rows_), step = rounds_per_launch();
  const bool on_hopper = hopper_wanted() && !of_root;  // its warpgroups have no registers for distances
  launches.clear(products, 3 * sizeof(double));
  launches.clear(row_sums, static_cast<std::size_t>(2 * rows_) * sizeof(double));
  for (std::int64_t first = 0; first < rounds_.count(); first += step) {
    const std::int64_t rounds = first + step < rounds_.count() ? step : rounds_.count() - first;
    const GramTask<Operand> task{x, y, rounds_, first, rows_, padded, row_partials_, tile_partials_};
    if (!(on_hopper && sum_tiles_on_hopper(task, rounds, busy_blocks_, launches)))
      launches.launch(sum_tiles<Operand>,
                      {static_cast<unsigned>(rounds), static_cast<unsigned>(rounds_.pairs_per_round())}, Shape::threads,
                      shared, task);
    launches.launch(add_rounds<Value>, {static_cast<unsigned>(blocks_of(rows_, add_threads) + 1)}, add_threads,
                    3 * add_threads / warp_lanes * sizeof(double), row_partials_, tile_partials_, rounds,
                    rounds * rounds_.pairs_per_round(), rows_, padded, row_sums, products);
  }
}

template class GramSums<BfloatOperand>;
template class GramSums<HalfOperand>;
template class GramSums<SplitOperand>;
template class GramSums<Tf32Operand>;
template class GramSums<DoubleOperand>;

}  // namespace gramless::cuda
