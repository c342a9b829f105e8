// Products of float32 rows on the matrix unit: each factor as three bfloat16, the six products of parts that reach 24
// bits, 32 x 32 dot products at a time. While the unit multiplies, the vector units finish the block before.
#pragma once

#include "engine/instructions/matrix_unit.hpp"
#include "engine/pack/pack_bf16x3.hpp"
#include "engine/pack/packed_rows.hpp"
#include "engine/product/chunk.hpp"

#if defined(GRAMLESS_MATRIX_UNIT)

namespace gramless {
inline namespace GRAMLESS_ISA {

namespace detail {

static_assert(Bf16x3::side == MatrixUnit::side && Bf16x3::depth == MatrixUnit::depth);

// A block's sums over all steps of the depth, of the products of parts that matter: the omitted ones are below 2^-26 of
// the whole. The small ones come first, so that few additions round at the size of the whole. Registers 0 to 3 hold the
// sums, 4 and 5 a part of the left factor, 6 and 7 of the right one. between() runs on the vector units between two
// products of registers: work has to be divided this finely, because the core's window of instructions is limited and
// it would otherwise run one after the other.
constexpr int gaps_of_step = 6 * 4;

template <class Between>
GRAMLESS_INLINE void multiply_block(MatrixUnit& unit, const Bf16x3* left, const Bf16x3* right, int steps,
                                    Between between) {
  enum { high, middle, low };
  const auto load_left = [&](int step, int part) {
    unit.load<4>(left[2 * step].parts[part]);
    unit.load<5>(left[2 * step + 1].parts[part]);
  };
  const auto load_right = [&](int step, int part) {
    unit.load<6>(right[2 * step].parts[part]);
    unit.load<7>(right[2 * step + 1].parts[part]);
  };
  const auto multiply = [&]() GRAMLESS_INLINE_LAMBDA {
    unit.multiply<0, 4, 6>(), between();
    unit.multiply<1, 4, 7>(), between();
    unit.multiply<2, 5, 6>(), between();
    unit.multiply<3, 5, 7>(), between();
  };
  unit.zero<0>(), unit.zero<1>(), unit.zero<2>(), unit.zero<3>();
  for (int s = 0; s < steps; s++) {
    load_left(s, low), load_right(s, high), multiply();
    load_left(s, middle), multiply();
    load_right(s, middle), multiply();
    load_left(s, high), multiply();
    load_right(s, low), multiply();
  }
  for (int s = 0; s < steps; s++) load_left(s, high), load_right(s, high), multiply();
}

GRAMLESS_INLINE void store_block(MatrixUnit& unit, float* values, std::ptrdiff_t stride) {
  const std::ptrdiff_t bytes = stride * static_cast<std::ptrdiff_t>(sizeof(float)), half = MatrixUnit::side;
  unit.store<0>(values, bytes), unit.store<1>(values + half, bytes);
  unit.store<2>(values + half * stride, bytes), unit.store<3>(values + half * stride + half, bytes);
}

inline void add_block(MatrixUnit& unit, float* values, std::ptrdiff_t stride) {
  alignas(64) float sums[matrix_block][matrix_block];
  store_block(unit, sums[0], matrix_block);
  for (int r = 0; r < matrix_block; r++)
    for (int c = 0; c < matrix_block; c += lanes<float>) {
      float* const entries = values + r * stride + c;
      store(entries, load<Vector<float>>(entries) + load<Vector<float>>(sums[r] + c));
    }
}

// Rows of a block whose dot products are in the tile, finished in pieces.
template <class Finish>
struct Unfinished {
  Finish* finish;
  int row = 0, end = 0, j = 0;
  int done = 0;

  // Finishes the rows left of the first share/shares of a whole block.
  GRAMLESS_INLINE void finish_share(int share, int shares) {
    constexpr int rows = TileShape<float>::micro_rows, pieces = matrix_block / rows;
    for (; done * shares < share * pieces && row < end; done++, row += rows) (*finish)(row, j);
  }
};

// All rows of a tile times one panel of its columns from j on. On the diagonal, blocks with no entry right of it are
// left out.
template <class Finish>
void multiply_panel(MatrixUnit& unit, const Bf16x3* left, const Bf16x3* right, Chunk chunk, const Tile<float>& tile,
                    int j, const ReadAhead& next, Finish& finish, Unfinished<Finish>& before) {
  const int steps = (chunk.depth + Bf16x3::depth - 1) / Bf16x3::depth;
  const int rows = tile.diagonal ? std::min(tile.rows, j + matrix_block) : tile.rows;
  const int blocks = (rows + matrix_block - 1) / matrix_block;
  for (int b = 0; b < blocks; b++, left += 2 * steps) {
    next.fetch(b, blocks);
    int gap = 0;
    multiply_block(unit, left, right, steps, [&] { before.finish_share(++gap, gaps_of_step * steps); });
    float* const values = tile.row(b * matrix_block) + j;
    if (chunk.first)
      store_block(unit, values, tile.stride);
    else
      add_block(unit, values, tile.stride);
    if (chunk.last) before = {&finish, b * matrix_block, std::min(rows, (b + 1) * matrix_block), j};
  }
}

}  // namespace detail

struct ProductAmx {
  // How many float32 the packed rows of a tile take, and its panels of columns.
  static constexpr std::int64_t packed_values(std::int64_t rows, std::int64_t depth) {
    return round_up(rows, matrix_block) * round_up(depth, Bf16x3::depth) * 3 / 2;
  }
  static constexpr std::int64_t panel_values = std::int64_t{matrix_block} * TileShape<float>::depth * 3 / 2;

  template <class Finish>
  static void dot_tile(const CenteredRows<float>& x, std::int64_t first_i, const CenteredRows<float>& y,
                       std::int64_t first_j, std::int64_t first_k, std::int64_t end_k, PackedRows<float>& packed,
                       const Tile<float>& tile, Finish& finish) {
    constexpr int most = TileShape<float>::depth;
    MatrixUnit unit;
    Bf16x3* const panel = reinterpret_cast<Bf16x3*>(packed.panel);
    detail::Unfinished<Finish> before{&finish};
    const bool hold = packed.keeps && packed.held_row == first_i;
    for (std::int64_t k = first_k; k < end_k; k += most) {
      if (k > first_k && (k - first_k) % (polled_chunks * most) == 0 && stop_requested()) return;
      const Chunk chunk{static_cast<int>(std::min<std::int64_t>(most, end_k - k)), k == first_k, k + most >= end_k};
      Bf16x3* const slivers =
          reinterpret_cast<Bf16x3*>(packed.slivers + (packed.keeps ? packed_values(tile.rows, k - first_k) : 0));
      if (!hold) pack_bf16x3<Factor::left>(x, first_i, tile.rows, k, chunk.depth, slivers);
      for (int j = 0; j < tile.cols; j += matrix_block) {
        const ReadAhead next = after<float>(y.x, first_j, tile.cols, j, k, first_k, end_k);
        pack_bf16x3<Factor::right>(y, first_j + j, std::min(matrix_block, tile.cols - j), k, chunk.depth, panel);
        detail::multiply_panel(unit, slivers, panel, chunk, tile, j, next, finish, before);
      }
    }
    before.finish_share(1, 1);
    packed.held_row = first_i;
  }

  // Sums of squares of `count` rows over a chunk, one per lane: the diagonal of a block, by the same products.
  static Vector<float> squared_lengths(const CenteredRows<float>& x, std::int64_t first_row, int count,
                                       std::int64_t first, int depth) {
    constexpr int side = Bf16x3::side;
    constexpr int most_steps = TileShape<float>::depth / Bf16x3::depth;
    Bf16x3 left[2 * most_steps], right[2 * most_steps];
    alignas(64) float products[side][side];
    MatrixUnit unit;
    pack_bf16x3<Factor::left>(x, first_row, count, first, depth, left);
    pack_bf16x3<Factor::right>(x, first_row, count, first, depth, right);
    detail::multiply_block(unit, left, right, (depth + Bf16x3::depth - 1) / Bf16x3::depth, [] {});
    unit.store<0>(products[0], MatrixUnit::row_bytes);
    Vector<float> sums;
    for (int i = 0; i < side; i++) sums[i] = products[i][i];
    return sums;
  }
};

}  // namespace GRAMLESS_ISA
}  // namespace gramless

#endif
