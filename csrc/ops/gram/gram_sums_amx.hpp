// The same tile of both layers of a pair, computed in one walk on the matrix unit: neither layer's kernel values are
// stored. Elsewhere, and for other pairs, one layer follows the other (ops/gram/gram_sums.cpp).
#pragma once

#include "engine/walk/walk.hpp"
#include "epilogues/tile_kernels.hpp"
#include "ops/dispatch/op_table.hpp"
#include "reductions/kernel_sums_amx.hpp"
#include "support/workspace.hpp"

namespace gramless {
inline namespace GRAMLESS_ISA {

// Sums over one tile. The Gram matrix is symmetric, so the tile's rows may be multiplied as columns.
struct TwoLayerTileSums {
  double products[3] = {};  // sum K_ij^2, sum K_ij L_ij, sum L_ij^2
  double *row_sums[2], *column_sums[2];
};

template <class T>
CenteredRows<T> centered_rows(const LayerView& layer) {
  return {layer.x, static_cast<const T*>(layer.center_high), static_cast<const T*>(layer.center_low)};
}

template <class T>
struct GramSumsAmx {
  static bool takes(const GramSumsTask&) { return false; }
  static std::int64_t packed_values(const GramSumsTask&, std::int64_t) { return 0; }
  static void pack_rows(const LayerView*, const FoldBlock&, T*) {}
  static void add_tile(const LayerView*, const FoldBlock&, const FoldBlock&, const T* const (&)[2],
                       const T* const (&)[2], PackedRows<T>*, const T*, TwoLayerTileSums&) {}
};

#if defined(GRAMLESS_MATRIX_UNIT)

template <>
struct GramSumsAmx<float> {
  // Whether the task is supported: one layer against one, with the same kernel function and not too many columns.
  static bool takes(const GramSumsTask& task) {
    const LayerView* const layers = task.layers;
    return task.layers_x == 1 && task.layers_y == 1 && layers[0].kernel.index() == layers[1].kernel.index() &&
           !is_of_root(layers[0].kernel) && layers[0].x.cols + layers[1].x.cols <= TwoLayerProductAmx::most_depth;
  }
  // The size of both layers' packed rows.
  static std::int64_t packed_values(const GramSumsTask& task, std::int64_t rows) {
    return TwoLayerProductAmx::packed_values(rows, task.layers[0].x.cols, task.layers[1].x.cols);
  }
  static void pack_rows(const LayerView* layers, const FoldBlock& rows, float* packed) {
    TwoLayerProductAmx::pack_rows({centered_rows<float>(layers[0]), centered_rows<float>(layers[1])}, rows.first,
                                  rows.rows, packed);
  }

  // held: of each layer, the columns. packed: the rows, or null.
  static void add_tile(const LayerView* layers, const FoldBlock& rows, const FoldBlock& columns,
                       const float* const (&row_stats)[2], const float* const (&column_stats)[2],
                       PackedRows<float>* held, const float* packed, TwoLayerTileSums& answer) {
    const CenteredRows<float> centered[2] = {centered_rows<float>(layers[0]), centered_rows<float>(layers[1])};
    const Tile<float> tile{nullptr, rows.rows, columns.rows, 0, rows.first == columns.first};
    const auto add = [&](const auto& kernels) {
      KernelSumsAmx sums(tile, kernels, row_stats, column_stats);
      TwoLayerProductAmx(centered, rows.first, columns.first, held, packed, tile).run(sums);
      std::copy_n(sums.products(), 3, answer.products);
      for (int l = 0; l < 2; l++) sums.finish(l, answer.row_sums[l], answer.column_sums[l]);
    };
    visit_tile_kernels<float>(layers[0].kernel, layers[0].shift, layers[1].kernel, layers[1].shift, add);
  }
};

#endif

// All rows of a pair, packed: every tile of a column of tiles reads them.
template <class T>
class PackedLayersAmx {
 public:
  // Packs the rows for `tiles` tiles; packs nothing if these are few, as those of one part may be, or if the rows are
  // many.
  void pack(const GramSumsTask& task, std::int64_t tiles, int tile_rows, int threads) {
    values_ = GramSumsAmx<T>::packed_values(task, tile_rows);
    const std::size_t bytes = static_cast<std::size_t>(task.block_count * values_) * sizeof(T);
    if (tiles <= least_uses * task.block_count || bytes > most_bytes) return;
    memory_ = Workspace(bytes);
    if (memory_.data() == nullptr) return;
    double flops = 0;
    for (int l = 0; l < 2; l++) flops += 20.0 * static_cast<double>(task.layers[l].x.rows * task.layers[l].x.cols);
    walk(
        {.tasks = task.block_count, .flops = flops, .threads = threads, .monitor = {}},
        [&](std::int64_t b, char*, char*, Worker&) {
          GramSumsAmx<T>::pack_rows(task.layers, task.blocks[b], const_cast<T*>(block(b)));
        },
        [](std::int64_t, const char*) {});
  }

  // The packed rows of a block, or null.
  const T* block(std::int64_t b) const {
    return memory_.data() ? reinterpret_cast<const T*>(memory_.data()) + b * values_ : nullptr;
  }

 private:
  static constexpr std::int64_t least_uses = 2;
  static constexpr std::size_t most_bytes = std::size_t{64} << 20;
  std::int64_t values_ = 0;
  Workspace memory_;
};

}  // namespace GRAMLESS_ISA
}  // namespace gramless
