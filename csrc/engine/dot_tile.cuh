// A tile of dot products in the registers of a block: slices of the depth come through a ring in shared memory. It knows
// no kernel function and no loss.
#pragma once

#include "engine/operands.cuh"

namespace gramless::cuda {

// Each warp owns a rectangle of the tile, warps lie row by row.
template <int Rows, int Cols, int WarpRows, int WarpCols>
struct TileShape {
  static constexpr int rows = Rows, cols = Cols, warp_rows = WarpRows, warp_cols = WarpCols;
  static constexpr int warps_across = Cols / WarpCols, warps_down = Rows / WarpRows;
  static constexpr int threads = warps_across * warps_down * warp_lanes;
  static_assert(Rows % WarpRows == 0 && Cols % WarpCols == 0 && WarpCols % 16 == 0);
};

template <class Operand, class Shape>
class DotTile {
 public:
  using Value = typename Operand::Value;
  using Element = typename Operand::Element;

  // A thread owns the entries where its rows cross its columns.
  static constexpr int own_rows = Shape::warp_rows / 8, own_cols = Shape::warp_cols / 4;
  static constexpr int stages = 3;
  static constexpr int ring_bytes = stages * Operand::planes * (Shape::rows + Shape::cols) * slice_bytes;

  __device__ explicit DotTile(char* ring)
      : ring_(ring),
        lane_(static_cast<int>(threadIdx.x) % warp_lanes),
        warp_row_(static_cast<int>(threadIdx.x) / warp_lanes / Shape::warps_across * Shape::warp_rows),
        warp_col_(static_cast<int>(threadIdx.x) / warp_lanes % Shape::warps_across * Shape::warp_cols) {}

  __device__ Value& at(int r, int c) {
    if constexpr (atom_rows == 16)
      return values_[r / 2][c / 2][r % 2 * 2 + c % 2];
    else
      return values_[r][c / 2][c % 2];
  }
  // Within the tile.
  __device__ int row(int r) const { return warp_row_ + r * 8 + lane_ / 4; }
  __device__ int col(int c) const { return warp_col_ + c / 2 * 8 + lane_ % 4 * 2 + c % 2; }

  // Dot products of a block of rows with a block of columns; the ring must be free of readers.
  __device__ void multiply(const PackedRows<Operand>& rows, std::int64_t first_row, const PackedRows<Operand>& columns,
                           std::int64_t first_col) {
#pragma unroll
    for (auto& row_of_atoms : values_)
#pragma unroll
      for (auto& atom : row_of_atoms)
#pragma unroll
        for (Value& value : atom) value = 0;
    const int slices = rows.slices;
#pragma unroll
    for (int s = 0; s < stages - 1; s++) load_slice(rows, first_row, columns, first_col, s, s < slices, s);
    int read = 0, write = stages - 1;
    for (int s = 0; s < slices; s++) {
      wait_for_copies<stages - 2>();
      __syncthreads();  // slice s is there for all, and nobody reads the stage of slice s - 1 any more
      load_slice(rows, first_row, columns, first_col, s + stages - 1, s + stages - 1 < slices, write);
      multiply_slice(read);
      read = read + 1 == stages ? 0 : read + 1;
      write = write + 1 == stages ? 0 : write + 1;
    }
    wait_for_copies<0>();
    __syncthreads();  // the ring may be filled anew
  }

 private:
  static constexpr int atom_rows = Operand::atom_rows;
  static constexpr int down = Shape::warp_rows / atom_rows, across = Shape::warp_cols / 8;
  static constexpr int ring_rows = Shape::rows + Shape::cols;

  // Rows are 64 bytes apart: 16-byte pieces change places so that eight rows touch all banks.
  __device__ char* piece(int stage, int plane, int ring_row, int number) const {
    return ring_ + ((stage * Operand::planes + plane) * ring_rows + ring_row) * slice_bytes +
           (number ^ (ring_row / 2 % 4)) * 16;
  }

  __device__ void load_slice(const PackedRows<Operand>& rows, std::int64_t first_row,
                             const PackedRows<Operand>& columns, std::int64_t first_col, int slice, bool exists,
                             int stage) const {
    constexpr int pieces = Operand::planes * ring_rows * 4, piece_elements = slice_elements<Operand> / 4;
    if (exists) {
#pragma unroll
      for (int first = 0; first < pieces; first += Shape::threads) {
        const int i = first + static_cast<int>(threadIdx.x), plane = i / (ring_rows * 4), ring_row = i / 4 % ring_rows;
        if (pieces % Shape::threads != 0 && i >= pieces) break;
        const bool of_rows = ring_row < Shape::rows;
        const Element* const source =
            of_rows ? rows.elements + plane * rows.plane_stride + (first_row + ring_row) * rows.stride()
                    : columns.elements + plane * columns.plane_stride +
                          (first_col + ring_row - Shape::rows) * columns.stride();
        copy_async(piece(stage, plane, ring_row, i % 4), source + slice * slice_elements<Operand> + i % 4 * piece_elements);
      }
    }
    commit_copies();  // empty past the end, so that waits may count
  }

  __device__ void multiply_slice(int stage) {
    if constexpr (atom_rows == 16) {
#pragma unroll
      for (int k = 0; k < 2; k++) multiply_atoms(stage, k);
    } else {
#pragma unroll
      for (int k = 0; k < 2; k++) multiply_doubles(stage, k);
    }
  }

  __device__ void multiply_atoms(int stage, int k) {
    std::uint32_t a[down][Operand::planes][4];
#pragma unroll
    for (int m = 0; m < down; m++)
#pragma unroll
      for (int plane = 0; plane < Operand::planes; plane++)
        load_matrices(a[m][plane], piece(stage, plane, warp_row_ + m * 16 + lane_ % 16, k * 2 + lane_ / 16));
#pragma unroll
    for (int n = 0; n < across; n += 2) {
      std::uint32_t b[Operand::planes][4];  // of two atoms
#pragma unroll
      for (int plane = 0; plane < Operand::planes; plane++) {
        const int ring_row = Shape::rows + warp_col_ + n * 8 + lane_ / 16 * 8 + lane_ % 8;
        load_matrices(b[plane], piece(stage, plane, ring_row, k * 2 + lane_ / 8 % 2));
      }
#pragma unroll
      for (int m = 0; m < down; m++)
#pragma unroll
        for (int half = 0; half < 2; half++) multiply_atom(values_[m][n + half], a[m], b, half);
    }
  }

  __device__ static void multiply_atom(Value (&sum)[4], const std::uint32_t (&a)[Operand::planes][4],
                                       const std::uint32_t (&b)[Operand::planes][4], int half) {
    const std::uint32_t high[2] = {b[0][2 * half], b[0][2 * half + 1]};
    if constexpr (Operand::planes == 2) {
      const std::uint32_t low[2] = {b[1][2 * half], b[1][2 * half + 1]};
      Operand::multiply_add(sum, a[0], low);
      Operand::multiply_add(sum, a[1], high);
    }
    Operand::multiply_add(sum, a[0], high);
  }

  __device__ double element(int stage, int ring_row, int k) const {
    return reinterpret_cast<const double*>(piece(stage, 0, ring_row, k / 2))[k % 2];
  }

  __device__ void multiply_doubles(int stage, int k) {
    double a[down];
#pragma unroll
    for (int m = 0; m < down; m++) a[m] = element(stage, warp_row_ + m * 8 + lane_ / 4, k * 4 + lane_ % 4);
#pragma unroll
    for (int n = 0; n < across; n++) {
      const double b = element(stage, Shape::rows + warp_col_ + n * 8 + lane_ / 4, k * 4 + lane_ % 4);
#pragma unroll
      for (int m = 0; m < down; m++) multiply_add_double(values_[m][n], a[m], b);
    }
  }

  char* ring_;
  int lane_, warp_row_, warp_col_;
  Value values_[down][across][atom_rows == 16 ? 4 : 2];
};

}  // namespace gramless::cuda
