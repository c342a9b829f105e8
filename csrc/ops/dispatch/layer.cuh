// One representation as tiles on the device see it: the twin of LayerView in op_table.hpp.
#pragma once

#include "engine/product/dot_tile.cuh"
#include "epilogues/tile_kernels.cuh"
#include "ops/dispatch/scratch.cuh"

namespace gramless::cuda {

// Square tiles of rows with rows, two of them in registers at once.
template <class Operand>
using SquareShape =
    std::conditional_t<Operand::atom_rows == 16, TileShape<128, 128, 64, 32>, TileShape<64, 64, 32, 16>>;

// The pairs of a round lie along a grid's second dimension.
template <class Operand>
constexpr std::int64_t most_rows = (2 * most_grid_y - 1) * SquareShape<Operand>::rows;

template <class Operand>
struct DeviceLayer {
  using Value = typename Operand::Value;

  PackedRows<Operand> rows;             // centred
  Value* scales = nullptr;              // (padded rows) what a packed row is to be multiplied by; only where split
  Value* norms = nullptr;               // (padded rows) |x_i - mean|^2, rounded as tiles round it
  TileKernel<Value>* kernel = nullptr;  // (1)

  // A dot product of packed rows as that of the rows themselves. Powers of two: exact.
  __device__ __forceinline__ static Value unscaled(Value dot, Value row_scale, Value column_scale) {
    return is_scaled<Operand> ? dot * row_scale * column_scale : dot;
  }
  static std::int64_t padded_rows(std::int64_t rows) {
    return blocks_of(rows, SquareShape<Operand>::rows) * SquareShape<Operand>::rows;
  }
};

}  // namespace gramless::cuda
