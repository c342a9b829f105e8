// Reduction of a tile of weights to rows: out += W Z, or its transpose, straight from the tile.
#pragma once

#include "engine/tile/tile.hpp"
#include "engine/walk/walk.hpp"

namespace gramless {
inline namespace GRAMLESS_ISA {

// A tile of weights, or its transpose: entry (i, k) lies at values[i * row_step + k * depth_step].
template <class T>
struct Weights {
  const T* values;
  int rows, depth;
  std::ptrdiff_t row_step, depth_step;
};

template <class T>
Weights<T> weights_of(const Tile<T>& tile) {
  return {tile.values, tile.rows, tile.cols, tile.stride, 1};
}
template <class T>
Weights<T> transposed(const Tile<T>& tile) {
  return {tile.values, tile.cols, tile.rows, 1, tile.stride};
}

// Consecutive rows of a matrix.
template <class T>
struct RowSpan {
  T* values;
  std::ptrdiff_t stride;
};

namespace detail {

// out[i][c] += sum_k weights(i, k) rows[k][c], accumulators in registers. They start at 0, so that no float32
// sum runs over all rows of a large batch.
template <int Vectors, class T>
GRAMLESS_INLINE void add_register_tile(const Weights<T>& weights, int first_row, int first, int depth,
                                       RowSpan<const T> rows, RowSpan<T> out) {
  constexpr int count = RegisterTile<T>::rows;
  Vector<T> sums[count][Vectors];
#pragma GCC unroll 8
  for (int i = 0; i < count; i++)
#pragma GCC unroll 3
    for (int c = 0; c < Vectors; c++) sums[i][c] = Vector<T>{};
  const T* weight = weights.values + first_row * weights.row_step + first * weights.depth_step;
  const T* row = rows.values + first * rows.stride;
#pragma GCC unroll 2
  for (int k = 0; k < depth; k++, weight += weights.depth_step, row += rows.stride) {
    Vector<T> columns[Vectors];
#pragma GCC unroll 3
    for (int c = 0; c < Vectors; c++) columns[c] = load<Vector<T>>(row + c * lanes<T>);
#pragma GCC unroll 8
    for (int i = 0; i < count; i++) {
      const Vector<T> factor = splat(weight[i * weights.row_step]);
#pragma GCC unroll 3
      for (int c = 0; c < Vectors; c++) sums[i][c] += factor * columns[c];
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < count; i++)
#pragma GCC unroll 3
    for (int c = 0; c < Vectors; c++) {
      T* const entries = out.values + i * out.stride + c * lanes<T>;
      store(entries, load<Vector<T>>(entries) + sums[i][c]);
    }
}

// Multiplies `cols` columns, at most Vectors vectors of them, of all rows; nothing is written outside of out's rows and
// columns.
template <int Vectors, class T>
void add_column_panel(const Weights<T>& weights, int first, int depth, RowSpan<const T> rows, int cols,
                      RowSpan<T> out) {
  constexpr int count = RegisterTile<T>::rows, width = Vectors * lanes<T>;
  for (int i = 0; i < weights.rows; i += count) {
    const RowSpan<T> target{out.values + i * out.stride, out.stride};
    const int present = std::min(count, weights.rows - i);
    if (present == count && cols == width) {
      add_register_tile<Vectors>(weights, i, first, depth, rows, target);
      continue;
    }
    alignas(64) T edge[count * width] = {};
    for (int r = 0; r < present; r++) std::copy_n(target.values + r * target.stride, cols, edge + r * width);
    add_register_tile<Vectors>(weights, i, first, depth, rows, RowSpan<T>{edge, width});
    for (int r = 0; r < present; r++) std::copy_n(edge + r * width, cols, target.values + r * target.stride);
  }
}

}  // namespace detail

// out (rows, cols) += weights (rows, depth) times rows (depth, cols). Rows and the tile of weights are readable up to
// the next whole register tile; numbers read there do not enter any result.
template <class T>
void add_times_rows(const Weights<T>& weights, RowSpan<const T> rows, std::int64_t cols, RowSpan<T> out) {
  constexpr int panel = RegisterTile<T>::cols, chunk = sizeof(T) == 4 ? 96 : 64;  // a chunk's panel stays in L1
  for (int first = 0; first < weights.depth; first += chunk) {
    const int depth = std::min(chunk, weights.depth - first);
    for (std::int64_t c = 0; c < cols; c += panel) {
      if (c > 0 && c % (64 * panel) == 0 && stop_requested()) return;
      const int width = static_cast<int>(std::min<std::int64_t>(panel, cols - c));
      const RowSpan<const T> from{rows.values + c, rows.stride};
      const RowSpan<T> to{out.values + c, out.stride};
      if (width > 2 * lanes<T>)
        detail::add_column_panel<3>(weights, first, depth, from, width, to);
      else if (width > lanes<T>)
        detail::add_column_panel<2>(weights, first, depth, from, width, to);
      else
        detail::add_column_panel<1>(weights, first, depth, from, width, to);
    }
  }
}

}  // namespace GRAMLESS_ISA
}  // namespace gramless
