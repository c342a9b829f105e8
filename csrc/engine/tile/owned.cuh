// Which pairs of a CUDA tile exist. It knows no loss.
#pragma once

#include "engine/instructions/primitives.cuh"

namespace gramless::cuda {

// A tile's existing pairs: those inside the matrix and, where the columns are the rows again, off the diagonal.
struct OwnedPairs {
  int rows, cols;
  int diagonal;  // row r of the tile is column r + diagonal

  __device__ OwnedPairs(std::int64_t first_row, std::int64_t all_rows, std::int64_t first_col, std::int64_t all_cols,
                        bool symmetric)
      : rows(at_most(all_rows - first_row)), cols(at_most(all_cols - first_col)) {
    const std::int64_t distance = first_row - first_col;
    diagonal = symmetric && distance > -far && distance < far ? static_cast<int>(distance) : far;
  }

  __device__ bool owns(int row, int col) const { return row < rows && col < cols && row + diagonal != col; }

  // Whether the tile owns all its entries.
  __device__ bool whole(int height, int width) const {
    return rows >= height && cols >= width && (diagonal >= width || diagonal <= -height);
  }

 private:
  static constexpr int far = 1 << 20;
  __device__ static int at_most(std::int64_t left) { return left < far ? static_cast<int>(left) : far; }
};

}  // namespace gramless::cuda
