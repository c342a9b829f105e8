// The inner loop of everything: a tile of dot products between two blocks of rows. It knows no kernel function.
#pragma once

#include "engine/pack.hpp"
#include "engine/read_ahead.hpp"

namespace gramless {
inline namespace GRAMLESS_ISA {

// values[i][j] (+)= sum_k sliver[k][i] * panel[k][j], accumulators in registers. A chunk of the depth is summed on its
// own and added to what the tile has: for 20,000 columns in float32 that is 8 times more accurate than one long sum.
template <class T>
GRAMLESS_INLINE void micro_tile(const T* sliver, const T* panel, int depth, T* values, int stride, bool fresh) {
  using Shape = TileShape<T>;
  constexpr int rows = Shape::micro_rows, vectors = 3;
  Vector<T> sums[rows][vectors];
#pragma GCC unroll 8
  for (int i = 0; i < rows; i++)
#pragma GCC unroll 3
    for (int j = 0; j < vectors; j++) sums[i][j] = Vector<T>{};
#pragma GCC unroll 4
  for (int k = 0; k < depth; k++) {
    Vector<T> columns[vectors];
#pragma GCC unroll 3
    for (int j = 0; j < vectors; j++) columns[j] = load<Vector<T>>(panel + k * Shape::micro_cols + j * lanes<T>);
#pragma GCC unroll 8
    for (int i = 0; i < rows; i++) {
      const Vector<T> row = splat(sliver[k * rows + i]);
#pragma GCC unroll 3
      for (int j = 0; j < vectors; j++) sums[i][j] += row * columns[j];
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < rows; i++)
#pragma GCC unroll 3
    for (int j = 0; j < vectors; j++) {
      T* const entries = values + i * stride + j * lanes<T>;
      store(entries, fresh ? sums[i][j] : load<Vector<T>>(entries) + sums[i][j]);
    }
}

// Which part of the depth a chunk is: the first overwrites the tile, the last finishes it.
struct Chunk {
  int depth;
  bool first, last;
};

// One depth chunk of a tile's columns [j, j + micro_cols). On the diagonal, register tiles with no entry right of it
// are left out.
template <class T, class Finish>
void multiply_panel(const T* slivers, const T* panel, Chunk chunk, const Tile<T>& tile, int j, const ReadAhead& next,
                    Finish& finish) {
  using Shape = TileShape<T>;
  const int rows = tile.diagonal ? std::min(tile.rows, j + Shape::micro_cols) : tile.rows;
  for (int i = 0; i < rows; i += Shape::micro_rows) {
    next.fetch(i / Shape::micro_rows, (rows + Shape::micro_rows - 1) / Shape::micro_rows);
    micro_tile(slivers + static_cast<std::ptrdiff_t>(i) * chunk.depth, panel, chunk.depth, tile.row(i) + j, tile.stride,
               chunk.first);
    if (chunk.last) finish(i, j);
  }
}

// A thread's packing memory, and the rows it has already packed: they stay while its next tiles share them.
template <class T>
struct PackedRows {
  T* slivers = nullptr;  // all of the depth if `keeps`, else one chunk
  T* panel = nullptr;    // one chunk of micro_cols rows: packed and used at once, it never leaves L1
  bool keeps = false;
  std::int64_t held_row = -1;  // first row of the block the slivers hold

  static constexpr std::int64_t panel_values = std::int64_t{TileShape<T>::micro_cols} * TileShape<T>::depth;
};

struct LeaveAsIs {
  void operator()(int, int) const {}
};

// What will be packed after the columns at j of the chunk at k: more columns, the next chunk, or the next tile's.
template <class T>
ReadAhead after(const ArrayView& y, std::int64_t first_j, int cols, int j, std::int64_t k, std::int64_t first_k,
                std::int64_t end_k) {
  using Shape = TileShape<T>;
  const auto panel = [&](std::int64_t row, std::int64_t first) {
    const int depth = static_cast<int>(std::min<std::int64_t>(Shape::depth, end_k - first));
    return ReadAhead(y, row, Shape::micro_cols, first, depth);
  };
  if (j + Shape::micro_cols < cols) return panel(first_j + j + Shape::micro_cols, k);
  if (k + Shape::depth < end_k) return panel(first_j, k + Shape::depth);
  return panel(first_j + cols, first_k);
}

// The tile of dot products of rows [first_i, ...) of x with rows [first_j, ...) of y, over columns [first_k, end_k).
// finish(i, j) is called when the register tile at (i, j) has its dot products, which are then still in L1.
template <class T, class Finish = LeaveAsIs>
void dot_tile(const CenteredRows<T>& x, std::int64_t first_i, const CenteredRows<T>& y, std::int64_t first_j,
              std::int64_t first_k, std::int64_t end_k, PackedRows<T>& packed, const Tile<T>& tile,
              Finish&& finish = {}) {
  using Shape = TileShape<T>;
  const std::int64_t sliver_rows = round_up(tile.rows, Shape::micro_rows);
  const bool hold = packed.keeps && packed.held_row == first_i;
  for (std::int64_t k = first_k; k < end_k; k += Shape::depth) {
    const int depth = static_cast<int>(std::min<std::int64_t>(Shape::depth, end_k - k));
    T* slivers = packed.slivers + (packed.keeps ? (k - first_k) * sliver_rows : 0);
    if (!hold) pack<Shape::micro_rows>(x, first_i, tile.rows, k, depth, slivers);
    for (int j = 0; j < tile.cols; j += Shape::micro_cols) {
      const ReadAhead next = after<T>(y.x, first_j, tile.cols, j, k, first_k, end_k);
      pack<Shape::micro_cols>(y, first_j + j, std::min(Shape::micro_cols, tile.cols - j), k, depth, packed.panel);
      multiply_panel(slivers, packed.panel, Chunk{depth, k == first_k, k + depth == end_k}, tile, j, next, finish);
    }
  }
  packed.held_row = first_i;
}

// Padded so that register tiles may write past the last row and column.
template <class T>
constexpr int tile_stride(int cols) {
  return static_cast<int>(round_up(cols, TileShape<T>::micro_cols));
}
template <class T>
constexpr std::int64_t tile_values(std::int64_t rows, std::int64_t cols) {
  return round_up(rows, TileShape<T>::micro_rows) * round_up(cols, TileShape<T>::micro_cols);
}

}  // namespace GRAMLESS_ISA
}  // namespace gramless
