// The same tile of both layers of a pair, walked once, where the matrix unit multiplies: neither layer's kernel values
// are stored. Elsewhere, and for other pairs, one layer follows the other (ops/gram_sums.cpp).
#pragma once

#include "epilogues/tile_kernels.hpp"
#include "ops/op_table.hpp"
#include "reductions/pair_sums.hpp"

namespace gramless {
inline namespace GRAMLESS_ISA {

// Sums over one tile; of a matrix that is its own transpose, so that its rows may stand as columns.
struct PairTileSums {
  double products[3] = {};  // sum K_ij^2, sum K_ij L_ij, sum L_ij^2
  double *row_sums[2], *column_sums[2];
};

template <class T>
CenteredRows<T> centered_rows(const LayerView& layer) {
  return {layer.x, static_cast<const T*>(layer.center_high), static_cast<const T*>(layer.center_low)};
}

template <class T>
struct GramPair {
  static bool takes(const GramSumsTask&) { return false; }
  static std::int64_t panel_values(const GramSumsTask&) { return 0; }
  static void add_tile(const LayerView*, const GroupBlock&, const GroupBlock&, const T* const (&)[2],
                       const T* const (&)[2], PackedRows<T>*, PairTileSums&) {}
};

#if defined(GRAMLESS_MATRIX_UNIT)

template <>
struct GramPair<float> {
  // One layer against one, of the same kernel function, not too deep.
  static bool takes(const GramSumsTask& task) {
    const LayerView* const layers = task.layers;
    return task.layers_x == 1 && task.layers_y == 1 && layers[0].kernel.index() == layers[1].kernel.index() &&
           layers[0].x.cols + layers[1].x.cols <= PairProduct::most_depth;
  }
  static std::int64_t panel_values(const GramSumsTask& task) {
    return PairProduct::panel_values(task.layers[0].x.cols, task.layers[1].x.cols);
  }

  // packed: of each layer, the columns, which are held.
  static void add_tile(const LayerView* layers, const GroupBlock& rows, const GroupBlock& columns,
                       const float* const (&row_stats)[2], const float* const (&column_stats)[2],
                       PackedRows<float>* packed, PairTileSums& answer) {
    const CenteredRows<float> centered[2] = {centered_rows<float>(layers[0]), centered_rows<float>(layers[1])};
    const Tile<float> tile{nullptr, rows.rows, columns.rows, 0, rows.first == columns.first};
    const auto add = [&](const auto& kernels) {
      PairSums sums(tile, kernels, row_stats, column_stats);
      PairProduct(centered, rows.first, columns.first, packed, tile).run(sums);
      std::copy_n(sums.products(), 3, answer.products);
      for (int l = 0; l < 2; l++) sums.finish(l, answer.row_sums[l], answer.column_sums[l]);
    };
    visit_tile_kernels<float>(layers[0].kernel, layers[0].shift, layers[1].kernel, layers[1].shift, add);
  }
};

#endif

}  // namespace GRAMLESS_ISA
}  // namespace gramless
