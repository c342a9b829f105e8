// Tiles in which each row belongs to one warp, and how columns are divided among blocks.
#pragma once

#include "engine/product/dot_tile.cuh"
#include "ops/api.hpp"
#include "ops/dispatch/scratch.cuh"

namespace gramless::cuda {

// A warp owns whole rows of a tile, so that their sums, and the weights times rows, need no other warp.
template <class Operand>
struct WarpRowsShape
    : std::conditional_t<Operand::atom_rows == 16, TileShape<128, 64, 16, 64>, TileShape<64, 32, 8, 32>> {
  static constexpr bool symmetric = true;  // so that a limit leaves a pair out of both anchors' sums or of neither
};

// How many blocks run at a time; by default `on_each` times the number of multiprocessors.
inline std::int64_t blocks_at_once(std::int64_t busy_blocks, int on_each = 1) {
  return busy_blocks == of_device ? std::int64_t{on_each} * multiprocessors() : busy_blocks;
}

// Columns are cut into strips of two tiles or more, so that blocks come in whole waves: the fewest strips that leave
// less than a tenth of the last wave's places empty on average, else those that leave the least.
template <class Operand>
std::int64_t launch_strips(std::int64_t rows, std::int64_t columns, std::int64_t chunks, std::int64_t at_once) {
  using Shape = WarpRowsShape<Operand>;
  const std::int64_t blocks = blocks_of(rows, Shape::rows) * chunks, tiles = blocks_of(columns, Shape::cols);
  const std::int64_t pairs_of_tiles = blocks_of(tiles, 2), most = pairs_of_tiles < 16 ? pairs_of_tiles : 16;
  std::int64_t best = 1;
  double best_share = 0;
  for (std::int64_t strips = 1; strips <= most && best_share < 0.9; strips++) {
    const std::int64_t places = blocks_of(blocks * strips, at_once) * at_once;
    const double share = static_cast<double>(blocks * strips) / static_cast<double>(places);
    if (share > best_share) {
      best = strips;
      best_share = share;
    }
  }
  return best;
}

// The tiles of columns of this block's strip: blockIdx.y counts strips.
struct TileRange {
  std::int64_t first, last;
};
__device__ __forceinline__ TileRange tiles_of_strip(std::int64_t tiles) {
  const std::int64_t strip = blockIdx.y, strips = gridDim.y;
  return {tiles * strip / strips, tiles * (strip + 1) / strips};
}

}  // namespace gramless::cuda
