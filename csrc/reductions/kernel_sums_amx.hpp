// Reduction of the same tile of two layers: dot products become kernel values, which are added to their row, their
// column and the three inner products and not stored.
#pragma once

#include "engine/product/two_layer_product_amx.hpp"
#include "reductions/kernel_sums.hpp"

#if defined(GRAMLESS_MATRIX_UNIT)

namespace gramless {
inline namespace GRAMLESS_ISA {

// Sums of the kernel values that a tile owns, by rows and columns, and of their products: float32 within a row, a
// column and a block, float64 outside.
template <class Kernel>
class KernelSumsAmx {
 public:
  using Values = Vector<float>;
  static constexpr int width = lanes<float>, vectors = matrix_block / width;

  // stats: for each layer one number per row and per column of the tile.
  KernelSumsAmx(const Tile<float>& tile, const Kernel (&kernels)[2], const float* const (&row_stats)[2],
                const float* const (&column_stats)[2])
      : tile_(tile),
        kernels_{kernels[0], kernels[1]},
        row_stats_{row_stats[0], row_stats[1]},
        column_stats_{column_stats[0], column_stats[1]} {}

  // The unfinished rows of a whole block, finished one at a time; the columns' numbers and sums stay in registers.
  struct Rows {
    using Row = Bundle<float, vectors>;
    Kernel kernels[2];
    int left = 0, j = 0;
    const float* dots = nullptr;
    const float* row_stats[2] = {};
    Values (*row_sums)[2] = nullptr;
    Row column_stats[2] = {}, column_sums[2] = {};
    Values squares[2] = {}, products = {};

    GRAMLESS_INLINE void next() {
      constexpr int block = matrix_block * matrix_block;
      const Row first = values<0>(dots), second = values<1>(dots + block);
      add(first, row_sums[0][0], column_sums[0]);
      add(second, row_sums[0][1], column_sums[1]);
#pragma GCC unroll 8
      for (int v = 0; v < vectors; v++) {
        squares[0] += first.parts[v] * first.parts[v];
        products += first.parts[v] * second.parts[v];
        squares[1] += second.parts[v] * second.parts[v];
      }
      dots += matrix_block, row_stats[0]++, row_stats[1]++, row_sums++, left--;
    }

   private:
    template <int Layer>
    GRAMLESS_INLINE Row values(const float* from) const {
      const Values stat = splat(*row_stats[Layer]);
      return kernels[Layer](Row::of([&](int v) { return load<Values>(from + v * width); }),
                            Row::of([&](int) { return stat; }), column_stats[Layer]);
    }
    GRAMLESS_INLINE static void add(const Row& row, Values& row_sum, Row& columns) {
      Values sum = row.parts[0];
#pragma GCC unroll 8
      for (int v = 1; v < vectors; v++) sum += row.parts[v];
      row_sum += sum;
      columns = columns + row;
    }
  };

  // Whether the tile owns all of the block at (i, j).
  bool whole(int i, int j) const {
    return i + matrix_block <= tile_.rows && j + matrix_block <= tile_.cols &&
           !(tile_.diagonal && j < i + matrix_block);
  }

  GRAMLESS_INLINE Rows rows_of(const TwoLayerBlock& block, int i, int j, int count) {
    Rows rows{{kernels_[0], kernels_[1]}, count, j, block.dots[0][0]};
    rows.row_sums = row_sums_ + i;
    for (int l = 0; l < 2; l++) {
      rows.row_stats[l] = row_stats_[l] + i;
      for (int v = 0; v < vectors; v++) rows.column_stats[l].parts[v] = load<Values>(column_stats_[l] + j + v * width);
    }
    return rows;
  }

  // Adds the sums of a block's rows.
  GRAMLESS_INLINE void add(const Rows& rows) {
    for (int l = 0; l < 2; l++)
      for (int v = 0; v < vectors; v++) column_sums_[rows.j / width + v][l] += rows.column_sums[l].parts[v];
    add_products(rows.squares[0], rows.products, rows.squares[1]);
  }

  // Adds a block of which the tile owns only a part.
  void add_part(const TwoLayerBlock& block, int i, int j) {
    Values squares[2] = {}, products = {};
    for (int r = i; r < std::min(i + matrix_block, tile_.rows); r++)
      for (int v = 0; v < vectors; v++) {
        Values values[2];
        for (int l = 0; l < 2; l++) {
          values[l] = owned_values(l, load<Values>(block.dots[l][r - i] + v * width), r, j + v * width);
          row_sums_[r][l] += values[l];
          column_sums_[j / width + v][l] += values[l];
          squares[l] += values[l] * values[l];
        }
        products += values[0] * values[1];
      }
    add_products(squares[0], products, squares[1]);
  }

  // sum K_ij^2, sum K_ij L_ij and sum L_ij^2.
  const double (&products() const)[3] { return products_; }

  void finish(int layer, double* row_sums, double* column_sums) const {
    for (int i = 0; i < tile_.rows; i++) row_sums[i] = horizontal_sum<float>(row_sums_[i][layer]);
    for (int j = 0; j < tile_.cols; j++)
      column_sums[j] = static_cast<double>(column_sums_[j / width][layer][j % width]);
  }

 private:
  Values owned_values(int layer, Values dots, int row, int column) const {
    using One = Bundle<float, 1>;
    const One value = kernels_[layer](One{dots}, One{splat(row_stats_[layer][row])},
                                      One{load<Values>(column_stats_[layer] + column)});
    return keep_owned(value.parts[0], column, row, tile_);
  }

  GRAMLESS_INLINE void add_products(Values first, Values both, Values second) {
    products_[0] += horizontal_sum<float>(first);
    products_[1] += horizontal_sum<float>(both);
    products_[2] += horizontal_sum<float>(second);
  }

  const Tile<float>& tile_;
  const Kernel kernels_[2];
  const float *const row_stats_[2], *const column_stats_[2];
  double products_[3] = {};
  Values row_sums_[TileShape<float>::rows][2] = {}, column_sums_[TileShape<float>::rows / width][2] = {};
};

}  // namespace GRAMLESS_ISA
}  // namespace gramless

#endif
