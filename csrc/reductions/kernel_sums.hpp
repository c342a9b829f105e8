// Reduction of one layer's tile: dot products become kernel values, in place, and their row and column sums.
#pragma once

#include "engine/tile.hpp"

namespace gramless {
inline namespace GRAMLESS_ISA {

namespace detail {

// Lanes that hold a pair this tile owns: inside the matrix and, on the diagonal, right of it.
template <class T>
GRAMLESS_INLINE Vector<T> keep_owned(Vector<T> value, int first_column, int row, const Tile<T>& tile) {
  using Mask = Vector<Bits<T>>;
  const Mask column = lane_numbers<T>() + static_cast<Bits<T>>(first_column);
  Mask owned = column < static_cast<Bits<T>>(tile.cols);
  if (tile.diagonal) owned &= column > static_cast<Bits<T>>(row);
  return owned ? value : Vector<T>{};
}

}  // namespace detail

// Replaces every dot product by its kernel value, and by 0 what the tile does not own. Sums are of those values:
// float32 within a tile's row or column, float64 outside.
template <class T, class Kernel>
void apply_kernel(const Tile<T>& tile, const Kernel kernel, const T* row_stats, const T* column_stats, double* row_sums,
                  double* column_sums) {
  constexpr int width = lanes<T>;
  const int cols = tile.cols;  // a copy: stores to the values might change tile.cols, as far as the compiler knows
  Vector<T> columns[TileShape<T>::rows / width] = {};
  for (int i = 0; i < tile.rows; i++) {
    T* values = tile.row(i);
    const Vector<T> stat = splat(row_stats[i]);
    Vector<T> sum{};
    const auto add = [&](int j, auto&& owned) {
      const Vector<T> value = owned(kernel(load<Vector<T>>(values + j), stat, load<Vector<T>>(column_stats + j)));
      store(values + j, value);
      sum += value;
      columns[j / width] += value;
    };
    const auto all = [](Vector<T> value) { return value; };
    int j = tile.diagonal ? (i + 1) / width * width : 0;
    for (int left = 0; left < j; left += width) store(values + left, Vector<T>{});
    if (tile.diagonal && j < cols) {
      add(j, [&](Vector<T> value) { return detail::keep_owned(value, j, i, tile); });
      j += width;
    }
    for (; j + width <= cols; j += width) add(j, all);
    if (j < cols) {
      add(j, [&](Vector<T> value) { return detail::keep_owned(value, j, i, tile); });
      j += width;
    }
    for (; j < tile.stride; j += width) store(values + j, Vector<T>{});
    row_sums[i] = horizontal_sum<T>(sum);
  }
  for (int j = 0; j < tile.cols; j++) column_sums[j] = static_cast<double>(columns[j / width][j % width]);
}

}  // namespace GRAMLESS_ISA
}  // namespace gramless
