// A tile of dot products in the registers of a block: slices of the depth come through a ring in shared memory. It
// knows no kernel function and no loss.
#pragma once

#include "engine/pack/operands.cuh"

namespace gramless::cuda {

// Rows of a slice lie 64 bytes apart in shared memory; their 16-byte pieces are permuted so that eight rows touch all
// banks. The permutation repeats every 8 rows.
__device__ __forceinline__ int swizzled(int row, int piece) { return (piece ^ (row / 2 % 4)) * 16; }

// Each warp owns a rectangle of the tile; warps are numbered row by row.
template <int Rows, int Cols, int WarpRows, int WarpCols>
struct TileShape {
  static constexpr int rows = Rows, cols = Cols, warp_rows = WarpRows, warp_cols = WarpCols;
  static constexpr int warps_across = Cols / WarpCols, warps_down = Rows / WarpRows;
  static constexpr bool lean = false;       // whether few registers are left beside the tile
  static constexpr bool symmetric = false;  // whether <a, b> and <b, a> are bitwise identical
  static constexpr int threads = warps_across * warps_down * warp_lanes;
  static_assert(Rows % WarpRows == 0 && Cols % WarpCols == 0 && WarpCols % 16 == 0);
  static_assert(threads % 32 == 0);  // whole groups of 8 rows are copied at once
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

  __device__ explicit DotTile(char* ring) : ring_(ring), lane_(static_cast<int>(threadIdx.x) % warp_lanes) {
    const int warp = static_cast<int>(threadIdx.x) / warp_lanes;
    warp_row_ = warp / Shape::warps_across * Shape::warp_rows;
    warp_col_ = warp % Shape::warps_across * Shape::warp_cols;
    row_piece_ = (warp_row_ + lane_ % 16) * slice_bytes + swizzled(lane_, lane_ / 16);
    col_piece_ = (Shape::rows + warp_col_ + lane_ / 16 * 8 + lane_ % 8) * slice_bytes + swizzled(lane_, lane_ / 8 % 2);
  }

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
    const Source of_rows = source(rows, first_row), of_columns = source(columns, first_col);
    const int slices = rows.slices;
#pragma unroll
    for (int s = 0; s < stages - 1; s++) load_slice(of_rows, of_columns, s, s < slices, s);
    int read = 0, write = stages - 1;
    for (int s = 0; s < slices; s++) {
      wait_for_copies<stages - 2>();
      __syncthreads();  // slice s has landed for all threads, and none reads the stage of slice s - 1 any more
      load_slice(of_rows, of_columns, s + stages - 1, s + stages - 1 < slices, write);
      multiply_slice(ring_ + read * stage_bytes);
      read = read + 1 == stages ? 0 : read + 1;
      write = write + 1 == stages ? 0 : write + 1;
    }
    wait_for_copies<0>();
    __syncthreads();  // the ring may be filled again
  }

 private:
  static constexpr int atom_rows = Operand::atom_rows;
  static constexpr int down = Shape::warp_rows / atom_rows, across = Shape::warp_cols / 8;
  static constexpr int plane_bytes = (Shape::rows + Shape::cols) * slice_bytes;
  static constexpr int stage_bytes = Operand::planes * plane_bytes;

  // The source of a thread's first piece of a block.
  struct Source {
    const Element* first;
    std::int64_t plane_stride;
    int stride;
  };
  __device__ static Source source(const PackedRows<Operand>& packed, std::int64_t first_row) {
    const int thread = static_cast<int>(threadIdx.x);
    return {packed.elements + (first_row + thread / 4) * packed.stride() + thread % 4 * (slice_elements<Operand> / 4),
            packed.plane_stride, static_cast<int>(packed.stride())};
  }

  __device__ void load_slice(const Source& rows, const Source& columns, int slice, bool exists, int stage) const {
    if (exists) {
      load_block<Shape::rows>(rows, slice, ring_ + stage * stage_bytes);
      load_block<Shape::cols>(columns, slice, ring_ + stage * stage_bytes + Shape::rows * slice_bytes);
    }
    commit_copies();  // empty past the end, so that waits may count
  }

  template <int Rows>
  __device__ static void load_block(const Source& source, int slice, char* to) {
    constexpr int step = Shape::threads / 4;  // rows at once
    const int thread = static_cast<int>(threadIdx.x);
    to += thread / 4 * slice_bytes + swizzled(thread / 4, thread % 4);
#pragma unroll
    for (int plane = 0; plane < Operand::planes; plane++)
#pragma unroll
      for (int row = 0; row < Rows; row += step)
        if (Rows % step == 0 || row + thread / 4 < Rows)
          copy_async(
              to + plane * plane_bytes + row * slice_bytes,
              source.first + plane * source.plane_stride + row * source.stride + slice * slice_elements<Operand>);
  }

  __device__ void multiply_slice(const char* stage) {
    if constexpr (atom_rows == 16) {
#pragma unroll(Operand::planes == 2 && (down > 1 || Shape::lean) ? 1 \
                                                                 : 2)  // two steps at once may not fit into registers
      for (int k = 0; k < 2; k++) multiply_atoms(stage, k);
    } else {
#pragma unroll
      for (int k = 0; k < 2; k++) multiply_doubles(stage, k);
    }
  }

  using Fragment = std::uint32_t[Operand::planes][4];  // of 16 rows, or of 16 columns

  __device__ void load_rows(Fragment& a, const char* stage, int k, int m) const {
#pragma unroll
    for (int plane = 0; plane < Operand::planes; plane++)
      load_matrices(a[plane], stage + plane * plane_bytes + m * 16 * slice_bytes + (row_piece_ ^ k * 32));
  }
  __device__ void load_columns(Fragment& b, const char* stage, int k, int n) const {
#pragma unroll
    for (int plane = 0; plane < Operand::planes; plane++)
      load_matrices(b[plane], stage + plane * plane_bytes + n * 8 * slice_bytes + (col_piece_ ^ k * 32));
  }

  // Fragments of the shorter side stay in registers while those of the longer one pass.
  __device__ void multiply_atoms(const char* stage, int k) {
    if constexpr (2 * down < across) {
      Fragment a[down];
#pragma unroll
      for (int m = 0; m < down; m++) load_rows(a[m], stage, k, m);
#pragma unroll
      for (int n = 0; n < across; n += 2) {
        Fragment b;
        load_columns(b, stage, k, n);
#pragma unroll
        for (int m = 0; m < down; m++) multiply_atoms(m, n, a[m], b);
      }
    } else {
      Fragment b[across / 2];
#pragma unroll
      for (int n = 0; n < across; n += 2) load_columns(b[n / 2], stage, k, n);
#pragma unroll
      for (int m = 0; m < down; m++) {
        Fragment a;
        load_rows(a, stage, k, m);
#pragma unroll
        for (int n = 0; n < across; n += 2) multiply_atoms(m, n, a, b[n / 2]);
      }
    }
  }

  __device__ void multiply_atoms(int m, int n, const Fragment& a, const Fragment& b) {
#pragma unroll
    for (int half = 0; half < 2; half++) {
      const std::uint32_t high[2] = {b[0][2 * half], b[0][2 * half + 1]};
      if constexpr (Operand::planes == 2) {
        const std::uint32_t low[2] = {b[1][2 * half], b[1][2 * half + 1]};
        if constexpr (Shape::symmetric)
          Operand::multiply_add_symmetric(values_[m][n + half], a[0], a[1], high, low);
        else
          Operand::multiply_add(values_[m][n + half], a[0], a[1], high, low);
      } else {
        Operand::multiply_add(values_[m][n + half], a[0], high);
      }
    }
  }

  __device__ static double element(const char* stage, int row, int k) {
    return reinterpret_cast<const double*>(stage + row * slice_bytes + swizzled(row, k / 2))[k % 2];
  }

  __device__ void multiply_doubles(const char* stage, int k) {
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

  char* ring_;  // (stages, planes, rows and columns of a slice)
  int lane_, warp_row_, warp_col_;
  int row_piece_, col_piece_;  // what this lane loads of a stage's first atoms
  Value values_[down][across][atom_rows == 16 ? 4 : 2];
};

}  // namespace gramless::cuda
