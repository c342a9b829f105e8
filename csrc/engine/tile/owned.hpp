// Which entries of a tile count: those inside the matrix and, on the diagonal, right of it.
#pragma once

#include "engine/tile/tile.hpp"

namespace gramless {
inline namespace GRAMLESS_ISA {

template <class T>
GRAMLESS_INLINE Vector<Bits<T>> owned_lanes(const Tile<T>& tile, int row, int first_column) {
  using Mask = Vector<Bits<T>>;
  const Mask column = lane_numbers<T>() + static_cast<Bits<T>>(first_column);
  Mask owned = column < static_cast<Bits<T>>(tile.cols);
  if (tile.diagonal) owned &= column > static_cast<Bits<T>>(row);
  return owned;
}

template <class T>
GRAMLESS_INLINE Vector<T> keep_owned(Vector<T> value, int first_column, int row, const Tile<T>& tile) {
  return owned_lanes(tile, row, first_column) ? value : Vector<T>{};
}

// Whether all of the register tile at (i, j) is owned.
template <class T>
bool owns_all(const Tile<T>& tile, int i, int j) {
  using Shape = TileShape<T>;
  return i + Shape::micro_rows <= tile.rows && j + Shape::micro_cols <= tile.cols &&
         !(tile.diagonal && j < i + Shape::micro_rows);
}

// dots: what finish reads; it is prefetched, for it may be in no cache. finish(i, j) for all register tiles with an
// entry that is owned, along the rows, as they lie in memory. Those of a row and those of a column have the same order
// as where a product finishes them, so sums are bitwise-identical.
template <class T, class Finish>
GRAMLESS_INLINE void for_register_tiles(const Tile<T>& tile, Finish& finish, const T* dots) {
  using Shape = TileShape<T>;
  constexpr int ahead = Shape::micro_rows, line = 64 / sizeof(T);
  for (int i = 0; i < tile.rows; i += Shape::micro_rows)
    for (int j = tile.diagonal ? i / Shape::micro_cols * Shape::micro_cols : 0; j < tile.cols; j += Shape::micro_cols) {
      for (int r = i + ahead; r < std::min(i + 2 * ahead, tile.rows); r++)
        for (int c = 0; c < Shape::micro_cols; c += line)
          __builtin_prefetch(dots + std::ptrdiff_t{r} * tile.stride + j + c, 0, 2);
      finish(i, j);
    }
}

}  // namespace GRAMLESS_ISA
}  // namespace gramless
