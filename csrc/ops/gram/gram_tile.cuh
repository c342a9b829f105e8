// One layer's kernel values of a tile, and their sums along rows and columns. It knows no other layer.
#pragma once

#include "engine/pack/pack.cuh"
#include "engine/tile/owned.cuh"
#include "epilogues/near_share.hpp"
#include "ops/dispatch/layer.cuh"

namespace gramless::cuda {

// |x_i - x_j|^2 of packed rows, from their differences.
template <class Operand>
__device__ __forceinline__ typename Operand::Value squared_difference(const DeviceLayer<Operand>& layer, std::int64_t i,
                                                                      std::int64_t j) {
  using Value = typename Operand::Value;
  const std::int64_t stride = layer.rows.stride();
  const Value scale_i = is_scaled<Operand> ? layer.scales[i] : Value(1),
              scale_j = is_scaled<Operand> ? layer.scales[j] : Value(1);
  Value sum = 0;
#pragma unroll 1  // no registers are left
  for (std::int64_t k = 0; k < stride; k++) {
    const Value difference = static_cast<Value>(packed_value(layer.rows, i * stride + k)) * scale_i -
                             static_cast<Value>(packed_value(layer.rows, j * stride + k)) * scale_j;
    sum += difference * difference;
  }
  return sum;
}

// Replaces a tile's dot products by distances, those of near rows by their differences: the twin of
// ops/gram/near_distances.hpp. A thread's near pairs are found first and then computed in one loop, for there are no
// registers left to unroll it. Registers have no addresses: the loop always computes the tile's first entry, and the
// entries are rotated once around.
template <class Operand, class Tile>
__device__ __forceinline__ void measure_distances(Tile& tile, const DeviceLayer<Operand>& layer, std::int64_t first_row,
                                                  std::int64_t first_col) {
  using Value = typename Operand::Value;
  static_assert(Tile::own_rows * Tile::own_cols <= 64);
  std::uint64_t near = 0;
#pragma unroll
  for (int c = 0; c < Tile::own_cols; c++) {
    forget_loads();  // rows' numbers are read again
    const std::int64_t j = first_col + tile.col(c);
    const Value norm = layer.norms[j], scale = is_scaled<Operand> ? layer.scales[j] : Value(1);
#pragma unroll
    for (int r = 0; r < Tile::own_rows; r++) {
      const std::int64_t i = first_row + tile.row(r);
      const Value sum = layer.norms[i] + norm, row_scale = is_scaled<Operand> ? layer.scales[i] : Value(1);
      const Value dot = layer.unscaled(tile.at(r, c), row_scale, scale), distance2 = sum - (dot + dot);
      if (distance2 < near_share<Value> * sum) near |= std::uint64_t{1} << (c * Tile::own_rows + r);
      tile.at(r, c) = static_cast<Value>(sqrt(distance2));
    }
  }
  if (near == 0) return;
  constexpr int count = Tile::own_rows * Tile::own_cols;
#pragma unroll 1
  for (int pair = 0; pair < count; pair++, near >>= 1) {
    if (near & 1) {
      const std::int64_t i = first_row + tile.row(pair % Tile::own_rows),
                         j = first_col + tile.col(pair / Tile::own_rows);
      tile.at(0, 0) = static_cast<Value>(sqrt(squared_difference(layer, i, j)));
    }
    const Value first = tile.at(0, 0);
#pragma unroll
    for (int e = 0; e + 1 < count; e++)
      tile.at(e % Tile::own_rows, e / Tile::own_rows) = tile.at((e + 1) % Tile::own_rows, (e + 1) / Tile::own_rows);
    tile.at(Tile::own_rows - 1, Tile::own_cols - 1) = first;
  }
}

// Sums of a tile's kernel values along its rows and down its columns, in shared memory, from which the sums of warps
// are added.
template <class Value, class Shape>
struct TileSums {
  Value of_rows[Shape::warps_across][Shape::rows];
  Value of_columns[Shape::warps_down][Shape::cols];
};

// The kernel value of a row and a column of a tile, from their dot product or distance; 0 if the tile does not own the
// pair.
template <class Operand>
class GramTileValues {
 public:
  using Value = typename Operand::Value;

  // The data of a row or a column.
  struct Side {
    int at;  // within the tile
    Value norm, scale;
  };

  __device__ __forceinline__ GramTileValues(const DeviceLayer<Operand>& layer, std::int64_t first_row,
                                            std::int64_t first_col, std::int64_t n)
      : kernel_(*layer.kernel), place_(first_row, n, first_col, n, true) {}

  __device__ __forceinline__ bool of_distances() const { return kernel_.of_root(); }

  // The kernel value from the tile's entry: the dot product, or the distance where the kernel is one of distances.
  __device__ __forceinline__ Value operator()(Value held, const Side& row, const Side& column) const {
    const Value value = kernel_(held, row.norm, column.norm, [&](Value dot) {
      return DeviceLayer<Operand>::unscaled(dot, row.scale, column.scale);
    });
    return place_.owns(row.at, column.at) ? value : Value(0);
  }

 private:
  TileKernel<Value> kernel_;
  OwnedPairs place_;
};

// Replaces a tile's dot products by kernel values.
template <class Operand, class Shape>
__device__ __forceinline__ void evaluate_kernel(DotTile<Operand, Shape>& tile, const DeviceLayer<Operand>& layer,
                                                std::int64_t first_row, std::int64_t first_col, std::int64_t n) {
  using Value = typename Operand::Value;
  const GramTileValues<Operand> values(layer, first_row, first_col, n);
  if (values.of_distances()) measure_distances(tile, layer, first_row, first_col);
  const Value *const row_norms = layer.norms + first_row, *const column_norms = layer.norms + first_col;
  const Value *const row_scales = layer.scales + first_row, *const column_scales = layer.scales + first_col;
#pragma unroll
  for (int c = 0; c < tile.own_cols; c++) {
    if (is_scaled<Operand>) forget_loads();  // rows' numbers are read again: no registers are left
    const typename GramTileValues<Operand>::Side column = {tile.col(c), column_norms[tile.col(c)],
                                                           is_scaled<Operand> ? column_scales[tile.col(c)] : Value(1)};
#pragma unroll
    for (int r = 0; r < tile.own_rows; r++) {
      const Value row_scale = is_scaled<Operand> ? row_scales[tile.row(r)] : Value(1);
      tile.at(r, c) = values(tile.at(r, c), {tile.row(r), row_norms[tile.row(r)], row_scale}, column);
    }
  }
}

// Every thread of the block must call this; the sums of its warps are added in their order.
template <class Operand, class Shape>
__device__ __forceinline__ void store_row_sums(DotTile<Operand, Shape>& tile, char* memory,
                                               typename Operand::Value* rows, typename Operand::Value* columns) {
  using Value = typename Operand::Value;
  auto& sums = *reinterpret_cast<TileSums<Value, Shape>*>(memory);
  const int lane = static_cast<int>(threadIdx.x) % warp_lanes, warp = static_cast<int>(threadIdx.x) / warp_lanes;
#pragma unroll
  for (int r = 0; r < tile.own_rows; r++) {
    Value sum = 0;
#pragma unroll
    for (int c = 0; c < tile.own_cols; c++) sum += tile.at(r, c);
    sum += __shfl_xor_sync(all_lanes, sum, 1);
    sum += __shfl_xor_sync(all_lanes, sum, 2);
    if (lane % 4 == 0) sums.of_rows[warp % Shape::warps_across][tile.row(r)] = sum;
  }
#pragma unroll
  for (int c = 0; c < tile.own_cols; c++) {
    Value sum = 0;
#pragma unroll
    for (int r = 0; r < tile.own_rows; r++) sum += tile.at(r, c);
#pragma unroll
    for (int bits = 4; bits < warp_lanes; bits *= 2) sum += __shfl_xor_sync(all_lanes, sum, bits);
    if (lane / 4 == 0) sums.of_columns[warp / Shape::warps_across][tile.col(c)] = sum;
  }
  __syncthreads();  // all warps have written their sums
  const int t = static_cast<int>(threadIdx.x);
  if (t < Shape::rows) {
    Value sum = 0;
#pragma unroll
    for (int w = 0; w < Shape::warps_across; w++) sum += sums.of_rows[w][t];
    rows[t] = sum;
  }
  if (columns != nullptr && t < Shape::cols) {
    Value sum = 0;
#pragma unroll
    for (int w = 0; w < Shape::warps_down; w++) sum += sums.of_columns[w][t];
    columns[t] = sum;
  }
  __syncthreads();  // and have been read
}

}  // namespace gramless::cuda
