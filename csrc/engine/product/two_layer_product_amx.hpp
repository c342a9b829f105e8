// Dot products of the rows of two representations on the matrix unit, block by block, of both at once. The vector units
// finish a block while the unit multiplies the next one, so that dot products never leave the L1 cache.
#pragma once

#include "engine/product/product_amx.hpp"

#if defined(GRAMLESS_MATRIX_UNIT)

namespace gramless {
inline namespace GRAMLESS_ISA {

// The same block of rows and columns, of both layers.
struct TwoLayerBlock {
  alignas(64) float dots[2][matrix_block][matrix_block];
};

namespace detail {

// The sums of one chunk of the depth, added to a block's dot products later, a row at a time.
class LateSums {
 public:
  // Stores the unit's sums, which are added to `sums` later.
  GRAMLESS_INLINE void store(MatrixUnit& unit, float (*sums)[matrix_block]) {
    add_all();
    store_block(unit, late_[0], matrix_block);
    sums_ = sums;
    row_ = 0;
  }
  GRAMLESS_INLINE void add_row() {
    if (row_ == matrix_block) return;
#pragma GCC unroll 8
    for (int c = 0; c < matrix_block; c += lanes<float>)
      gramless::store(sums_[row_] + c, load<Vector<float>>(sums_[row_] + c) + load<Vector<float>>(late_[row_] + c));
    row_++;
  }
  void add_all() {
    while (row_ < matrix_block) add_row();
  }

 private:
  alignas(64) float late_[matrix_block][matrix_block];
  float (*sums_)[matrix_block] = nullptr;
  int row_ = matrix_block;
};

}  // namespace detail

class TwoLayerProductAmx {
 public:
  // The most depth that both layers may have together: their held columns must fit into the L2 cache.
  static constexpr std::int64_t most_depth = 1024;

  // What both layers' packed rows take, one after the other.
  static constexpr std::int64_t packed_values(std::int64_t rows, std::int64_t depth, std::int64_t other_depth) {
    return ProductAmx::packed_values(rows, depth) + ProductAmx::packed_values(rows, other_depth);
  }
  static void pack_rows(const CenteredRows<float> (&layers)[2], std::int64_t first, int rows, float* packed) {
    for (const CenteredRows<float>& layer : layers) {
      pack_bf16x3<Factor::left>(layer, first, rows, 0, static_cast<int>(layer.x.cols),
                                reinterpret_cast<Bf16x3*>(packed));
      packed += ProductAmx::packed_values(rows, layer.x.cols);
    }
  }

  // The tile of rows [first_i, ...) and columns [first_j, ...). held: of each layer, the columns, from call to call in
  // all of their depth; its panel is room for packed_values(matrix_block, ...). packed: the rows, or null where
  // they are yet to be packed, a panel at a time.
  TwoLayerProductAmx(const CenteredRows<float> (&layers)[2], std::int64_t first_i, std::int64_t first_j,
                     PackedRows<float>* held, const float* packed, const Tile<float>& tile)
      : layers_(layers), first_i_(first_i), tile_(tile), room_(packed ? nullptr : held[0].panel) {
    const float* rows = packed ? packed : room_;
    for (int l = 0; l < 2; l++) {
      const std::int64_t depth = layers[l].x.cols;
      steps_[l] = static_cast<int>((depth + Bf16x3::depth - 1) / Bf16x3::depth);
      rows_[l] = reinterpret_cast<const Bf16x3*>(rows);
      rows += ProductAmx::packed_values(packed ? tile.rows : matrix_block, depth);
      Bf16x3* const columns = reinterpret_cast<Bf16x3*>(held[l].slivers);
      if (held[l].held_row != first_j)
        pack_bf16x3<Factor::right>(layers[l], first_j, tile.cols, 0, static_cast<int>(depth), columns);
      held[l].held_row = first_j;
      columns_[l] = columns;
    }
  }

  // All dot products, given to a KernelSumsAmx (reductions/kernel_sums_amx.hpp).
  template <class Finish>
  void run(Finish& finish) {
    if (std::max(steps_[0], steps_[1]) > chunk_steps)
      multiply_tile<true>(finish);
    else
      multiply_tile<false>(finish);
  }

 private:
  static constexpr int chunk_steps = TileShape<float>::depth / Bf16x3::depth;
  static constexpr std::int64_t near_bytes = 5 << 18;  // of held columns that every panel of rows reads again

  // As many columns as fit near_bytes, in parts of equal length.
  int columns_at_once() const {
    const std::int64_t blocks = (tile_.cols + matrix_block - 1) / matrix_block;
    const std::int64_t bytes = blocks * (steps_[0] + steps_[1]) * 2 * static_cast<std::int64_t>(sizeof(Bf16x3));
    const std::int64_t parts = (bytes + near_bytes - 1) / near_bytes;
    return static_cast<int>((blocks + parts - 1) / parts) * matrix_block;
  }

  template <bool Chunks, class Finish>
  void multiply_tile(Finish& finish) {
    const int columns = columns_at_once();
    for (int j = 0; j < tile_.cols; j += columns)
      multiply_columns<Chunks>(j, std::min(j + columns, tile_.cols), finish);
    late_.add_all();
    auto rows = before(finish);
    while (rows.left > 0) rows.next();
    finish.add(rows);
  }

  template <bool Chunks, class Finish>
  void multiply_columns(int first_j, int end_j, Finish& finish) {
    for (int i = 0; i < (tile_.diagonal ? std::min(end_j, tile_.rows) : tile_.rows); i += matrix_block) {
      const std::int64_t panel = room_ ? 0 : i / matrix_block;
      if (room_) pack_rows(layers_, first_i_ + i, std::min(matrix_block, tile_.rows - i), room_);
      const int first = tile_.diagonal ? std::max(i, first_j) : first_j;
      const int blocks = (end_j - first + matrix_block - 1) / matrix_block;
      const Bf16x3* const rows[2] = {rows_[0] + panel * 2 * steps_[0], rows_[1] + panel * 2 * steps_[1]};
      for (int b = 0; b < blocks; b++) multiply<Chunks>(rows, i, first + b * matrix_block, finish);
    }
  }

  // The rows of the block before, if they are unfinished.
  template <class Finish>
  GRAMLESS_INLINE auto before(Finish& finish) const {
    return finish.rows_of(blocks_[current_], before_i_, before_j_, before_rows_);
  }

  // One block of both layers, and meanwhile the rows of the one before.
  template <bool Chunks, class Finish>
  GRAMLESS_INLINE void multiply(const Bf16x3* const (&left)[2], int i, int j, Finish& finish) {
    auto rows = before(finish);
    TwoLayerBlock& block = blocks_[current_ ^= 1];
    const int gaps = detail::gaps_of_step * (steps_[0] + steps_[1]);
    int due = 0;
    // Late sums are added before their rows are finished: every gap adds one row of them, and only every few gaps
    // finish a row, for the depth has more than one chunk.
    const auto between = [&]() GRAMLESS_INLINE_LAMBDA {
      if constexpr (Chunks) late_.add_row();
      due += matrix_block;
      if (due >= gaps && rows.left > 0) rows.next(), due -= gaps;
    };
    for (int l = 0; l < 2; l++) {
      const Bf16x3* const right = columns_[l] + j / matrix_block * 2 * steps_[l];
      for (int s = 0; s < steps_[l]; s += chunk_steps) {
        detail::multiply_block(unit_, left[l] + 2 * s, right + 2 * s, std::min(chunk_steps, steps_[l] - s), between);
        if (Chunks && s > 0)
          late_.store(unit_, block.dots[l]);
        else
          detail::store_block(unit_, block.dots[l][0], matrix_block);
      }
    }
    while (rows.left > 0) rows.next();
    finish.add(rows);
    if (finish.whole(i, j)) {
      before_i_ = i, before_j_ = j, before_rows_ = matrix_block;
    } else {
      late_.add_all();
      finish.add_part(block, i, j);
      before_rows_ = 0;
    }
  }

  const CenteredRows<float> (&layers_)[2];
  const std::int64_t first_i_;
  const Tile<float>& tile_;
  MatrixUnit unit_;
  float* const room_;
  int steps_[2];
  const Bf16x3 *rows_[2], *columns_[2];
  TwoLayerBlock blocks_[2];
  int current_ = 0, before_i_ = 0, before_j_ = 0, before_rows_ = 0;
  detail::LateSums late_;
};

}  // namespace GRAMLESS_ISA
}  // namespace gramless

#endif
