// Sizes every tile shares, and how a matrix of pairs is cut into tiles.
#pragma once

#include <algorithm>
#include <cstdint>

#include "engine/instructions/matrix_unit.hpp"
#include "engine/instructions/simd.hpp"
#include "engine/tile/tile_rows.hpp"

namespace gramless {
inline namespace GRAMLESS_ISA {

// The register tile of the vector units: accumulators that fit their registers.
template <class T>
struct RegisterTile {
  static constexpr int cols = 3 * lanes<T>;
#if defined(__aarch64__)
  static constexpr int rows = 6;  // 32 registers: 18 accumulators
#else
  static constexpr int rows = vector_bytes == 64 ? 8 : lanes<T> == 2 ? 3 : 4;  // 16 registers: 12 accumulators
#endif
};

// block_rows x micro_cols dot products, multiplied together, and micro_rows x micro_cols, finished together; a tile of
// at most rows x rows of them; depth, chosen so that one panel of columns and one sliver of rows stay in near caches.
template <class T>
struct TileShape {
  static constexpr bool on_matrix_unit = has_matrix_unit && sizeof(T) == 4;
  static constexpr int micro_cols = on_matrix_unit ? 32 : RegisterTile<T>::cols;
  static constexpr int micro_rows = on_matrix_unit ? 2 : RegisterTile<T>::rows;
  static constexpr int block_rows = on_matrix_unit ? 32 : micro_rows;
  static constexpr int rows = most_tile_rows(sizeof(T));
  static constexpr int depth = on_matrix_unit ? 128 : sizeof(T) == 4 ? 192 : 128;
  static_assert(rows / 2 % micro_cols == 0 && rows / 2 % block_rows == 0);
};

template <class T>
struct Tile {
  T* values = nullptr;  // (rows, stride); columns from cols to stride are padding
  int rows = 0, cols = 0;
  int stride = 0;
  bool diagonal = false;  // its rows are its columns: only entries right of the diagonal count
  bool far = false;       // its memory is in no cache

  T* row(int i) const { return values + static_cast<std::ptrdiff_t>(i) * stride; }
};

constexpr std::int64_t round_up(std::int64_t value, std::int64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

// Padded so that register tiles may write past the last row and column.
template <class T>
constexpr int tile_stride(int cols) {
  return static_cast<int>(round_up(cols, TileShape<T>::micro_cols));
}
template <class T>
constexpr std::int64_t tile_values(std::int64_t rows, std::int64_t cols) {
  return round_up(rows, TileShape<T>::block_rows) * round_up(cols, TileShape<T>::micro_cols);
}

// Blocks of consecutive rows: block b holds rows [b * size, b * size + length(b)).
struct Blocks {
  std::int64_t n;
  int size;

  std::int64_t count() const { return (n + size - 1) / size; }
  std::int64_t begin(std::int64_t block) const { return block * size; }
  int length(std::int64_t block) const { return static_cast<int>(std::min<std::int64_t>(size, n - begin(block))); }
};

struct TilePosition {
  std::int64_t i, j;
};

// The tiles with i <= j, row by row, so that consecutive tasks share their rows: (0,0) (0,1) ... (1,1) (1,2) ...
struct UpperTriangle {
  std::int64_t blocks;

  std::int64_t count() const { return blocks * (blocks + 1) / 2; }
  TilePosition operator[](std::int64_t task) const {
    std::int64_t low = 0, high = blocks - 1;  // the last row that starts at or before `task`
    while (low < high) {
      const std::int64_t middle = (low + high + 1) / 2;
      if (start(middle) <= task)
        low = middle;
      else
        high = middle - 1;
    }
    return {low, low + task - start(low)};
  }

 private:
  std::int64_t start(std::int64_t row) const { return row * blocks - row * (row - 1) / 2; }
};

}  // namespace GRAMLESS_ISA
}  // namespace gramless
