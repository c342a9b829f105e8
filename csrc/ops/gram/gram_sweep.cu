// Walk over squares of tiles -> each layer's kernel function -> row sums and inner products of all pairs of layers: the
// CUDA twin of gram_sums.cpp for many layers. Every layer's tile is computed once, and stored until the layers of its
// square are multiplied. FLOPs: n^2 d L by tensor cores (split: three times that), n^2 L^2 / 2 by float32 units.
// Bytes: 4 n^2 L of values, written and read once and mostly in L2, and 4 n^2 d L / (128 side) of rows.
#include "ops/gram/gram_sweep.cuh"

#include "engine/instructions/block_sums.cuh"
#include "ops/gram/gram_tile.cuh"

namespace gramless::cuda {
namespace {

constexpr int stored_at_once = 64;  // descriptions of layers that fit into a launch's parameters

template <class T>
struct alignas(2 * sizeof(T)) Two {
  T at[2];
};

// Warps of a block divide 4 x 4 runs of layers, threads of a warp divide a part of the tiles.
template <class Value>
struct ProductShape {
  using Tile = std::conditional_t<sizeof(Value) == 4, SquareShape<SplitOperand>, SquareShape<DoubleOperand>>;
  static constexpr int layers_of_warp = 32 / sizeof(Value);  // layers
  static constexpr int warps_across = 4, threads = warps_across * warps_across * warp_lanes;
  static constexpr int tile_pairs = Tile::rows * Tile::cols / 2;
  static constexpr int parts = 4, part_pairs = tile_pairs / parts;  // float32 along a part
  static_assert(part_pairs % warp_lanes == 0);
};

template <class Operand>
struct StoreTask {
  DeviceLayer<Operand> from[stored_at_once];
  DeviceLayer<Operand>* to;
  int count;
};

template <class Operand>
__global__ void __launch_bounds__(stored_at_once) store_layers(StoreTask<Operand> task) {
  const int layer = static_cast<int>(threadIdx.x);
  if (layer < task.count) task.to[layer] = task.from[layer];
}

template <class Operand>
struct FillTask {
  const DeviceLayer<Operand>* layers;  // (layers)
  TileSquare square;
  std::int64_t n, padded_layers;
  typename Operand::Value* values;     // (slots, padded layers, tile)
  typename Operand::Value* side_sums;  // (slots, layers, rows and columns of a tile)
  double* squares;                     // (slots, layers)
};

// A block computes one tile of layer y and adds its sum of squares to those of the slot.
template <class Operand>
__global__ void __launch_bounds__(SquareShape<Operand>::threads) fill_tiles(FillTask<Operand> task) {
  using Value = typename Operand::Value;
  using Shape = SquareShape<Operand>;
  using Tile = DotTile<Operand, Shape>;
  const BlockPair pair = task.square.tile(static_cast<int>(blockIdx.x));
  if (pair.i < 0) return;
  char* const memory = shared_memory<char>();
  const std::int64_t first_row = pair.i * Shape::rows, first_col = pair.j * Shape::cols;
  const bool diagonal = pair.i == pair.j;
  const DeviceLayer<Operand>& layer = task.layers[blockIdx.y];
  Tile tile(memory);
  tile.multiply(layer.rows, first_row, layer.rows, first_col);
  evaluate_kernel(tile, layer, first_row, first_col, task.n);
  const std::int64_t cell = std::int64_t{blockIdx.x} * gridDim.y + blockIdx.y;
  Value* const side_sums = task.side_sums + cell * (Shape::rows + Shape::cols);
  store_row_sums(tile, memory, side_sums, diagonal ? nullptr : side_sums + Shape::rows);
  auto* const values = reinterpret_cast<Two<Value>*>(task.values) +
                       (std::int64_t{blockIdx.x} * task.padded_layers + blockIdx.y) * ProductShape<Value>::tile_pairs;
  Value square = 0;
#pragma unroll
  for (int r = 0; r < Tile::own_rows; r++)
#pragma unroll
    for (int c = 0; c < Tile::own_cols; c += 2) {
      const Two<Value> two = {tile.at(r, c), tile.at(r, c + 1)};
      square += two.at[0] * two.at[0] + two.at[1] * two.at[1];
      // Stored in the order of threads, which is the same for all layers.
      values[(r * Tile::own_cols + c) / 2 * Shape::threads + static_cast<int>(threadIdx.x)] = two;
    }
  double sums[1] = {(diagonal ? 0.5 : 1) * static_cast<double>(square)};  // a tile on the diagonal has every pair twice
  sum_over_block(sums, reinterpret_cast<double*>(memory));
  if (threadIdx.x == 0) task.squares[cell] += sums[0];
}

template <class Value>
struct ProductTask {
  TileSquare square;
  LayerBlock block;
  std::int64_t padded_layers;
  const Value* values;  // (slots, padded layers, tile)
  double* products;     // (slots and parts, rows, cols)
};

// Sums of Count numbers over a warp; a lane gets `own` of them, from first_of_lane on.
template <class T, int Count>
struct WarpSums {
  static constexpr int own = Count > warp_lanes ? Count / warp_lanes : 1;
  static constexpr int lanes_per_sum = Count < warp_lanes ? warp_lanes / Count : 1;
  static __device__ __forceinline__ int first_of_lane(int lane) { return lane / lanes_per_sum * own; }

  // In each step a lane sends half of its sums to another lane and keeps the other half.
  static __device__ __forceinline__ void add(T (&sums)[Count], int lane) {
    int count = Count;
#pragma unroll
    for (int bit = warp_lanes / 2; bit > 0; bit /= 2) {
      const bool upper = lane & bit;
      if (count == 1) {
        sums[0] += __shfl_xor_sync(all_lanes, sums[0], bit);
        continue;
      }
      count /= 2;
#pragma unroll
      for (int s = 0; s < Count / 2; s++) {
        if (s >= count) continue;
        const T given = upper ? sums[s] : sums[s + count], kept = upper ? sums[s + count] : sums[s];
        sums[s] = kept + __shfl_xor_sync(all_lanes, given, bit);
      }
    }
  }
};

// A warp multiplies two runs of layers over a part of a slot's tile.
template <class Value>
__global__ void __launch_bounds__(ProductShape<Value>::threads) multiply_layers(ProductTask<Value> task) {
  using Shape = ProductShape<Value>;
  constexpr int layers_of_warp = Shape::layers_of_warp;
  const int slot = static_cast<int>(blockIdx.x) / Shape::parts, part = static_cast<int>(blockIdx.x) % Shape::parts;
  const BlockPair pair = task.square.tile(slot);
  if (pair.i < 0) return;
  const int lane = static_cast<int>(threadIdx.x) % warp_lanes, warp = static_cast<int>(threadIdx.x) / warp_lanes;
  const std::int64_t row =
                         (std::int64_t{blockIdx.y} * Shape::warps_across + warp / Shape::warps_across) * layers_of_warp,
                     col =
                         (std::int64_t{blockIdx.z} * Shape::warps_across + warp % Shape::warps_across) * layers_of_warp;
  if (row >= task.block.rows || col >= task.block.cols || (task.block.symmetric && col < row)) return;
  const auto* const of_part = reinterpret_cast<const Two<Value>*>(task.values) +
                              slot * task.padded_layers * Shape::tile_pairs + part * Shape::part_pairs + lane;
  const Two<Value>* const of_rows = of_part + row * Shape::tile_pairs;
  const Two<Value>* const of_cols = of_part + (task.block.first_col + col) * Shape::tile_pairs;
  Value sums[layers_of_warp * layers_of_warp] = {};
#pragma unroll 1
  for (int e = 0; e < Shape::part_pairs; e += warp_lanes) {
    Two<Value> b[layers_of_warp];
#pragma unroll
    for (int j = 0; j < layers_of_warp; j++) b[j] = of_cols[j * Shape::tile_pairs + e];
#pragma unroll
    for (int i = 0; i < layers_of_warp; i++) {
      const Two<Value> a = of_rows[i * Shape::tile_pairs + e];
#pragma unroll
      for (int j = 0; j < layers_of_warp; j++) {
        sums[i * layers_of_warp + j] += a.at[0] * b[j].at[0];
        sums[i * layers_of_warp + j] += a.at[1] * b[j].at[1];
      }
    }
  }
  using Sums = WarpSums<Value, layers_of_warp * layers_of_warp>;
  Sums::add(sums, lane);
  if (lane % Sums::lanes_per_sum != 0) return;
  const double share = pair.i == pair.j ? 0.5 : 1;
  double* const products = task.products + std::int64_t{blockIdx.x} * task.block.rows * task.block.cols;
#pragma unroll
  for (int s = 0; s < Sums::own; s++) {
    const std::int64_t i = row + (Sums::first_of_lane(lane) + s) / layers_of_warp,
                       j = col + (Sums::first_of_lane(lane) + s) % layers_of_warp;
    if (i < task.block.rows && j < task.block.cols)
      products[i * task.block.cols + j] += share * static_cast<double>(sums[s]);
  }
}

template <class Operand>
struct SideTask {
  TileSquare square;
  LayerRuns runs;
  std::int64_t n;
  const typename Operand::Value* side_sums;  // (slots, layers, rows and columns of a tile)
  double* row_sums;                          // (all layers, n)
};

// Adds a square's sums to the row sums of layer y: block x of the square's rows, then of its columns.
template <class Operand>
__global__ void __launch_bounds__(SquareShape<Operand>::rows) add_side_sums(SideTask<Operand> task) {
  using Shape = SquareShape<Operand>;
  const TileSquare& square = task.square;
  const int side = square.side, local = static_cast<int>(blockIdx.x) % side;
  const bool of_columns = static_cast<int>(blockIdx.x) >= side;
  if (of_columns && square.on_diagonal()) return;
  const std::int64_t block = (of_columns ? square.first_j : square.first_i) + local;
  const std::int64_t i = block * Shape::rows + threadIdx.x;
  if (i >= task.n) return;
  const auto of_tile = [&](int slot, int offset) {
    const std::int64_t cell = std::int64_t{slot} * gridDim.y + blockIdx.y;
    return static_cast<double>(task.side_sums[cell * (Shape::rows + Shape::cols) + offset + threadIdx.x]);
  };
  double& row_sum = task.row_sums[task.runs[blockIdx.y] * task.n + i];
  double sum = row_sum;
  for (int other = 0; other < side; other++) {
    const int in_row = local * side + other, in_column = other * side + local;
    if (!of_columns && square.tile(in_row).i >= 0) sum += of_tile(in_row, 0);
    const BlockPair across = square.tile(in_column);
    if ((of_columns || square.on_diagonal()) && across.i >= 0 && across.i != across.j)
      sum += of_tile(in_column, Shape::rows);
  }
  row_sum = sum;
}

}  // namespace

template <class Operand>
GramSweep<Operand>::GramSweep(std::int64_t rows, const LayerRuns& runs, const LayerBlock& block,
                              std::int64_t stored_bytes, DeviceLayout& layout)
    : rows_(rows), blocks_(blocks_of(rows, Shape::rows)), runs_(runs), block_(block) {
  if (stored_bytes == of_device) stored_bytes = l2_bytes() / 4 * 3;  // rows pass through L2 beside the tiles
  const std::int64_t fitting = stored_bytes / (stored_values() * static_cast<std::int64_t>(sizeof(Value)));
  while (side_ < blocks_ && (side_ + 1) * (side_ + 1) <= fitting) side_++;
  sums_.slots = side_ * side_;
  sums_.strips = sums_.slots * ProductShape<Value>::parts;
  sums_.layers = layout.take<DeviceLayer<Operand>>(runs.size());
  sums_.squares = layout.take<double>(sums_.slots * runs.size());
  sums_.products = layout.take<double>(sums_.strips * block.rows * block.cols);
  values_ = layout.take<Value>(sums_.slots * stored_values());
  side_sums_ = layout.take<Value>(sums_.slots * runs.size() * (Shape::rows + Shape::cols));
}

// The last run of layers may reach past the last layer.
template <class Operand>
std::int64_t GramSweep<Operand>::padded_layers() const {
  return runs_.size() + ProductShape<Value>::layers_of_warp - 1;
}

template <class Operand>
std::int64_t GramSweep<Operand>::stored_values() const {
  return padded_layers() * 2 * ProductShape<Value>::tile_pairs;
}

template <class Operand>
void GramSweep<Operand>::run(const std::vector<DeviceLayer<Operand>>& layers, double* row_sums,
                             LaunchStream& launches) const {
  const auto bytes = [](std::int64_t count, std::size_t size) { return static_cast<std::size_t>(count) * size; };
  for (std::size_t first = 0; first < layers.size(); first += stored_at_once) {
    StoreTask<Operand> task;
    task.to = sums_.layers + first;
    task.count = static_cast<int>(layers.size() - first < stored_at_once ? layers.size() - first : stored_at_once);
    for (int l = 0; l < task.count; l++) task.from[l] = layers[first + static_cast<std::size_t>(l)];
    launches.launch(store_layers<Operand>, {1}, stored_at_once, 0, task);
  }
  launches.clear(sums_.squares, bytes(sums_.slots * runs_.size(), sizeof(double)));
  launches.clear(sums_.products, bytes(sums_.strips * block_.rows * block_.cols, sizeof(double)));
  launches.clear(values_, bytes(sums_.slots * stored_values(), sizeof(Value)));
  launches.clear(row_sums + runs_.first * rows_, bytes(runs_.count * rows_, sizeof(double)));
  launches.clear(row_sums + runs_.other * rows_, bytes(runs_.other_count * rows_, sizeof(double)));
  for (std::int64_t i = 0; i < blocks_; i += side_)
    for (std::int64_t j = i; j < blocks_; j += side_) sum_square({i, j, blocks_, side_}, row_sums, launches);
}

template <class Operand>
void GramSweep<Operand>::sum_square(const TileSquare& square, double* row_sums, LaunchStream& launches) const {
  using Products = ProductShape<Value>;
  constexpr std::size_t sums_bytes = sizeof(TileSums<Value, Shape>), ring_bytes = DotTile<Operand, Shape>::ring_bytes;
  const auto layers = static_cast<unsigned>(runs_.size()), slots = static_cast<unsigned>(square.slots());
  const auto blocks_over = [](std::int64_t count) {
    return static_cast<unsigned>(blocks_of(count, Products::warps_across * Products::layers_of_warp));
  };
  const FillTask<Operand> fill{sums_.layers, square, rows_, padded_layers(), values_, side_sums_, sums_.squares};
  launches.launch(fill_tiles<Operand>, {slots, layers}, Shape::threads,
                  sums_bytes > ring_bytes ? sums_bytes : ring_bytes, fill);
  const ProductTask<Value> product{square, block_, padded_layers(), values_, sums_.products};
  launches.launch(multiply_layers<Value>, {slots * Products::parts, blocks_over(block_.rows), blocks_over(block_.cols)},
                  Products::threads, 0, product);
  const SideTask<Operand> sides{square, runs_, rows_, side_sums_, row_sums};
  launches.launch(add_side_sums<Operand>, {2 * static_cast<unsigned>(square.side), layers}, Shape::rows, 0, sides);
}

template class GramSweep<BfloatOperand>;
template class GramSweep<HalfOperand>;
template class GramSweep<SplitOperand>;
template class GramSweep<Tf32Operand>;
template class GramSweep<DoubleOperand>;

}  // namespace gramless::cuda
