// Products of rows on the vector units: register tiles of dot products, accumulators in registers.
#pragma once

#include "engine/pack/pack.hpp"
#include "engine/pack/packed_rows.hpp"
#include "engine/pack/read_ahead.hpp"
#include "engine/product/chunk.hpp"

namespace gramless {
inline namespace GRAMLESS_ISA {

namespace detail {

template <class T, int Vectors>
struct RegisterSums {
  static constexpr int rows = RegisterTile<T>::rows, vectors = Vectors;
  Vector<T> of[rows][vectors] = {};

  GRAMLESS_INLINE void add_products(const T* sliver, const T* panel) {
    Vector<T> columns[vectors];
#pragma GCC unroll 3
    for (int j = 0; j < vectors; j++) columns[j] = load<Vector<T>>(panel + j * lanes<T>);
#pragma GCC unroll 8
    for (int i = 0; i < rows; i++) {
      const Vector<T> row = splat(sliver[i]);
#pragma GCC unroll 3
      for (int j = 0; j < vectors; j++) of[i][j] += row * columns[j];
    }
  }
};

}  // namespace detail

// One row of the previous register tile is finished while this many columns of the depth are multiplied.
constexpr int depth_beside_a_row = 8;

// values[i][j] (+)= sum_k sliver[k][i] * panel[k][j] for so many vectors of j, accumulators in registers. A chunk of
// the depth is summed separately and added to the tile: for 20,000 columns in float32 that is 8 times more accurate
// than one long sum. Rows that are `unfinished` are finished between the first multiplications: their instructions
// depend on each other, multiply-adds do not, and many of them run on other execution units.
template <int Vectors, class T, class Rows>
GRAMLESS_INLINE void micro_tile(const T* sliver, const T* panel, int depth, T* values, int stride, bool fresh,
                                Rows unfinished, KeptAhead& ahead) {
  using Sums = detail::RegisterSums<T, Vectors>;
  constexpr int rows = Sums::rows, cols = RegisterTile<T>::cols, vectors = Sums::vectors, run = depth_beside_a_row;
  Sums sums;
  int k = 0;
  for (; k + run <= depth && unfinished.left > 0; k += run) {
    ahead.fetch_line();
#pragma GCC unroll 8
    for (int s = 0; s < run; s++) {
      sums.add_products(sliver + (k + s) * rows, panel + (k + s) * cols);
      if (s % 3 == 1) unfinished.finish_vector(s / 3);
    }
    unfinished.next();
  }
  constexpr int step = run / 2;  // GCC spills registers in a longer one
  for (; k + step <= depth; k += step) {
    ahead.fetch_line();
#pragma GCC unroll 4
    for (int s = 0; s < step; s++) sums.add_products(sliver + (k + s) * rows, panel + (k + s) * cols);
  }
  for (; k < depth; k++) sums.add_products(sliver + k * rows, panel + k * cols);
#pragma GCC unroll 8
  for (int i = 0; i < rows; i++)
#pragma GCC unroll 3
    for (int j = 0; j < vectors; j++) {
      T* const entries = values + i * stride + j * lanes<T>;
      store(entries, fresh ? sums.of[i][j] : load<Vector<T>>(entries) + sums.of[i][j]);
    }
  unfinished.finish_all();
}

// For a Finish that finishes whole register tiles at once, or nothing.
struct NoRows {
  static constexpr int left = 0;
  void finish_vector(int) const {}
  void next() const {}
  void finish_all() const {}
};

// The type of a Finish's unfinished rows, if it can finish a register tile one vector at a time and there are registers
// for that.
template <class Finish>
struct RowsOf {
  using type = NoRows;
};
template <class Finish>
  requires(vector_bytes == 64) && requires { typename Finish::UnfinishedRows; }
struct RowsOf<Finish> {
  using type = typename Finish::UnfinishedRows;
};

template <class T>
struct ProductSimd {
  // How many values the packed rows take.
  static constexpr std::int64_t packed_values(std::int64_t rows, std::int64_t depth) {
    return round_up(rows, TileShape<T>::micro_rows) * depth;
  }
  static constexpr std::int64_t panel_values = std::int64_t{TileShape<T>::micro_cols} * TileShape<T>::depth;

  static constexpr int vectors = RegisterTile<T>::cols / lanes<T>;

  // Vectors [first, end) of a register tile's columns; none if the tile begins at the last row of the diagonal.
  struct VectorSpan {
    int first, end;
  };

  // The vectors with an entry that the tile owns, for a Finish that reads no others.
  template <class Finish>
  static VectorSpan wanted_vectors(const Tile<T>& tile, int i, int j) {
    if constexpr (requires { Finish::reads_owned_only; }) {
      const int first = tile.diagonal ? std::max(0, i - j + 1) / lanes<T> : 0;
      return {first, std::min(vectors, (tile.cols - j + lanes<T> - 1) / lanes<T>)};
    }
    return {0, vectors};
  }

  // Prefetches a register tile that will be written: a store that waits for memory delays all stores behind it.
  GRAMLESS_INLINE static void fetch_to_write(const Tile<T>& tile, int i, int j) {
    constexpr int line = 64 / sizeof(T);
    for (int r = i; r < std::min(i + TileShape<T>::micro_rows, tile.rows); r++)
      for (int c = 0; c < TileShape<T>::micro_cols; c += line) __builtin_prefetch(tile.row(r) + j + c, 1);
  }

  // Not inlined: needed only on the diagonal and at the right edge.
  __attribute__((noinline)) static void multiply_vectors(const T* sliver, const T* panel, Chunk chunk,
                                                         const Tile<T>& tile, int i, int j, VectorSpan wanted) {
    if (wanted.first >= wanted.end) return;
    const int offset = wanted.first * lanes<T>;
    T* const values = tile.row(i) + j + offset;
    KeptAhead none;
    if (wanted.end - wanted.first == 1)
      micro_tile<1>(sliver, panel + offset, chunk.depth, values, tile.stride, chunk.first, NoRows(), none);
    else
      micro_tile<2>(sliver, panel + offset, chunk.depth, values, tile.stride, chunk.first, NoRows(), none);
  }

  // One depth chunk of a tile's columns [j, j + micro_cols). On the diagonal, register tiles with no entry right of it
  // are left out.
  template <class Finish, class Rows>
  GRAMLESS_INLINE static void multiply_panel(const T* slivers, const T* panel, Chunk chunk, const Tile<T>& tile, int j,
                                             const ReadAhead& next, KeptAhead& ahead, Finish& finish,
                                             Rows& unfinished) {
    using Shape = TileShape<T>;
    const int rows = tile.diagonal ? std::min(tile.rows, j + Shape::micro_cols) : tile.rows;
    for (int i = 0; i < rows; i += Shape::micro_rows) {
      next.fetch(i / Shape::micro_rows, (rows + Shape::micro_rows - 1) / Shape::micro_rows);
      if (tile.far && chunk.first) fetch_to_write(tile, i + Shape::micro_rows, j);
      const T* const sliver = slivers + static_cast<std::ptrdiff_t>(i) * chunk.depth;
      const VectorSpan wanted = wanted_vectors<Finish>(tile, i, j);
      if (wanted.first > 0 || wanted.end < vectors) {
        std::exchange(unfinished, {}).finish_all();
        multiply_vectors(sliver, panel, chunk, tile, i, j, wanted);
      } else {
        micro_tile<vectors>(sliver, panel, chunk.depth, tile.row(i) + j, tile.stride, chunk.first,
                            std::exchange(unfinished, {}), ahead);
      }
      if (!chunk.last) continue;
      if constexpr (!std::is_same_v<Rows, NoRows>) {
        if (chunk.depth >= Shape::micro_rows * depth_beside_a_row && finish.whole(i, j)) {
          unfinished = finish.unfinished_rows(i, j);
          continue;
        }
      }
      finish(i, j);
    }
  }

  template <class Finish>
  static void dot_tile(const CenteredRows<T>& x, std::int64_t first_i, const CenteredRows<T>& y, std::int64_t first_j,
                       std::int64_t first_k, std::int64_t end_k, PackedRows<T>& packed, const Tile<T>& tile,
                       Finish& finish) {
    using Shape = TileShape<T>;
    typename RowsOf<Finish>::type unfinished;
    const bool hold = packed.keeps && packed.held_row == first_i;
    for (std::int64_t k = first_k; k < end_k; k += Shape::depth) {
      if (k > first_k && (k - first_k) % (polled_chunks * Shape::depth) == 0 && stop_requested()) return;
      const int depth = static_cast<int>(std::min<std::int64_t>(Shape::depth, end_k - k));
      T* slivers = packed.slivers + (packed.keeps ? packed_values(tile.rows, k - first_k) : 0);
      if (!hold) pack<Shape::micro_rows>(x, first_i, tile.rows, k, depth, slivers);
      const std::ptrdiff_t kept = packed_values(tile.rows, depth);
      KeptAhead ahead = hold && packed.far ? KeptAhead(slivers + kept, slivers + 2 * kept) : KeptAhead();
      for (int j = 0; j < tile.cols; j += Shape::micro_cols) {
        const ReadAhead next = after<T>(y.x, first_j, tile.cols, j, k, first_k, end_k);
        pack<Shape::micro_cols>(y, first_j + j, std::min(Shape::micro_cols, tile.cols - j), k, depth, packed.panel);
        multiply_panel(slivers, packed.panel, Chunk{depth, k == first_k, k + depth == end_k}, tile, j, next, ahead,
                       finish, unfinished);
      }
    }
    unfinished.finish_all();
    packed.held_row = first_i;
  }

  // Sums of squares of `count` rows over a chunk, one per lane, by the same chain of multiply-adds as a tile's.
  static Vector<T> squared_lengths(const CenteredRows<T>& x, std::int64_t first_row, int count, std::int64_t first,
                                   int depth) {
    constexpr int width = lanes<T>;
    alignas(64) T panel[width * TileShape<T>::depth];
    pack<width>(x, first_row, count, first, depth, panel);
    Vector<T> sum{};
    for (int k = 0; k < depth; k++) {
      const Vector<T> values = load<Vector<T>>(panel + k * width);
      sum += values * values;
    }
    return sum;
  }
};

}  // namespace GRAMLESS_ISA
}  // namespace gramless
