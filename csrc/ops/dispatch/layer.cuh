// One representation as tiles on the device see it: the twin of LayerView in op_table.hpp.
#pragma once

#include "engine/product/dot_tile.cuh"
#include "epilogues/tile_kernels.cuh"
#include "ops/dispatch/scratch.cuh"

namespace gramless::cuda {

// Square tiles of rows with rows, two tiles in registers at a time.
template <class Operand>
using SquareShape =
    std::conditional_t<Operand::atom_rows == 16, TileShape<128, 128, 64, 32>, TileShape<64, 64, 32, 16>>;

// The second dimension of a grid counts the pairs of a round.
template <class Operand>
constexpr std::int64_t most_rows = (2 * most_grid_y - 1) * SquareShape<Operand>::rows;

template <class Operand>
struct DeviceLayer {
  using Value = typename Operand::Value;

  PackedRows<Operand> rows;             // centred
  Value* scales = nullptr;              // (padded rows) factors of the packed rows; only where split
  Value* norms = nullptr;               // (padded rows) |x_i - mean|^2, rounded as in tiles
  TileKernel<Value>* kernel = nullptr;  // (1)

  // Converts a dot product of packed rows to that of the unpacked rows. The factors are powers of two, so this is
  // exact.
  __device__ __forceinline__ static Value unscaled(Value dot, Value row_scale, Value column_scale) {
    return is_scaled<Operand> ? dot * row_scale * column_scale : dot;
  }
  static std::int64_t padded_rows(std::int64_t rows) {
    return blocks_of(rows, SquareShape<Operand>::rows) * SquareShape<Operand>::rows;
  }
};

}  // namespace gramless::cuda
