// Reduction of one layer's tile: dot products become kernel values, in place, and their row and column sums.
#pragma once

#include "engine/tile/owned.hpp"

namespace gramless {
inline namespace GRAMLESS_ISA {

// Replaces dot products by kernel values, a register tile at a time, and entries that the tile does not own by 0. Sums
// are of those values: float32 within a tile's row or column, float64 outside.
template <class T, class Kernel>
class KernelSums {
 public:
  static constexpr bool reads_owned_only = true;  // other entries are computed but not added

  // dots: the dot products in the tile's layout, if they are not in the tile.
  KernelSums(const Tile<T>& tile, const Kernel& kernel, const T* row_stats, const T* column_stats,
             const T* dots = nullptr)
      : tile_(tile),
        kernel_(kernel),
        row_stats_(row_stats),
        column_stats_(column_stats),
        dots_(dots ? dots : tile.values) {}

  // Rows of a whole register tile that are yet to be finished, a vector at a time (engine/product/product_simd.hpp).
  struct UnfinishedRows {
    int left = 0;
    Kernel kernel = {};
    T* values = nullptr;
    std::ptrdiff_t stride = 0;
    const T *row_stats = nullptr, *column_stats = nullptr;
    Vector<T>*row_sums = nullptr, *column_sums = nullptr;

    GRAMLESS_INLINE void finish_vector(int v) {
      T* const entries = values + v * width;
      using Values = Bundle<T, 1>;
      const Values dot{load<Vector<T>>(entries)}, column{load<Vector<T>>(column_stats + v * width)};
      const Vector<T> value = kernel(dot, Values{splat(*row_stats)}, column).parts[0];
      store(entries, value);
      *row_sums += value;
      column_sums[v] += value;
    }
    GRAMLESS_INLINE void next() {
      left--;
      values += stride;
      row_stats++;
      row_sums++;
    }
    GRAMLESS_INLINE void finish_all() {
      for (; left > 0; next())
#pragma GCC unroll 3
        for (int v = 0; v < vectors; v++) finish_vector(v);
    }
  };

  bool whole(int i, int j) const { return owns_all(tile_, i, j); }

  UnfinishedRows unfinished_rows(int i, int j) {
    return {TileShape<T>::micro_rows, kernel_,           tile_.row(i) + j, tile_.stride,
            row_stats_ + i,           column_stats_ + j, rows_ + i,        columns_ + j / width};
  }

  // Finishes the register tile at (i, j).
  void operator()(int i, int j) {
    using Shape = TileShape<T>;
    if (whole(i, j))
      add(i, Shape::micro_rows, j, [](Vector<T> value, int, int) { return value; });
    else
      add(i, std::min(Shape::micro_rows, tile_.rows - i), j,
          [this](Vector<T> value, int column, int row) { return keep_owned(value, column, row, tile_); });
  }

  void add_all() { for_register_tiles(tile_, *this, dots_); }

  void finish(double* row_sums, double* column_sums) {
    if (tile_.diagonal)
      for (int i = 0; i < tile_.rows; i++)
        std::fill_n(tile_.row(i), i / TileShape<T>::micro_cols * TileShape<T>::micro_cols, T(0));
    for (int i = 0; i < tile_.rows; i++) row_sums[i] = horizontal_sum<T>(rows_[i]);
    for (int j = 0; j < tile_.cols; j++) column_sums[j] = static_cast<double>(columns_[j / width][j % width]);
  }

 private:
  static constexpr int width = lanes<T>, vectors = TileShape<T>::micro_cols / width;

  template <class Owned>
  GRAMLESS_INLINE void add(int first_i, int rows, int first_j, Owned owned) {
    const Kernel kernel = kernel_;  // a copy, because the compiler assumes that stores to values may change the member
    Vector<T> stats[vectors], columns[vectors];
#pragma GCC unroll 3
    for (int v = 0; v < vectors; v++) {
      stats[v] = load<Vector<T>>(column_stats_ + first_j + v * width);
      columns[v] = columns_[first_j / width + v];
    }
    constexpr int side_by_side = vector_bytes == 64 ? 2 : 1;
    int i = first_i;
    for (; i + side_by_side <= first_i + rows; i += side_by_side)
      add_rows<side_by_side>(kernel, i, first_j, stats, columns, owned);
    for (; i < first_i + rows; i++) add_rows<1>(kernel, i, first_j, stats, columns, owned);
#pragma GCC unroll 3
    for (int v = 0; v < vectors; v++) columns_[first_j / width + v] = columns[v];
  }

  template <int Rows, class Owned>
  GRAMLESS_INLINE void add_rows(const Kernel& kernel, int i, int j, const Vector<T> (&stats)[vectors],
                                Vector<T> (&columns)[vectors], Owned owned) {
    using Values = Bundle<T, Rows * vectors>;
    T* const first = tile_.row(i) + j;
    const std::ptrdiff_t stride = tile_.stride;
    const T* const first_dot = dots_ + (first - tile_.values);
    const Values dots =
        Values::of([&](int p) { return load<Vector<T>>(first_dot + p / vectors * stride + p % vectors * width); });
    const Values row_stats = Values::of([&](int p) { return splat(row_stats_[i + p / vectors]); });
    const Values column_stats = Values::of([&](int p) { return stats[p % vectors]; });
    const Values values = kernel(dots, row_stats, column_stats);
#pragma GCC unroll 8
    for (int p = 0; p < Rows * vectors; p++) {
      const int row = p / vectors, v = p % vectors;
      const Vector<T> value = owned(values.parts[p], j + v * width, i + row);
      store(first + row * stride + v * width, value);
      rows_[i + row] += value;
      columns[v] += value;
    }
  }

  const Tile<T>& tile_;
  const Kernel kernel_;
  const T *row_stats_, *column_stats_, *dots_;
  Vector<T> rows_[TileShape<T>::rows] = {}, columns_[TileShape<T>::rows / width] = {};
};

}  // namespace GRAMLESS_ISA
}  // namespace gramless
