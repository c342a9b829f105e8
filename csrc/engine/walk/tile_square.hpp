// Which tiles one launch of a sweep computes: a square of blocks of rows by blocks of rows. Tiles of a square share
// rows, which are then read from the cache.
#pragma once

#include "engine/walk/pair_schedule_cuda.hpp"

namespace gramless::cuda {

struct TileSquare {
  std::int64_t first_i, first_j, blocks;
  int side;

  GRAMLESS_HD bool on_diagonal() const { return first_i == first_j; }
  GRAMLESS_HD int slots() const { return side * side; }

  // Slots left of the diagonal and past the end are empty.
  GRAMLESS_HD BlockPair tile(int slot) const {
    const std::int64_t i = first_i + slot / side, j = first_j + slot % side;
    return i <= j && j < blocks ? BlockPair{i, j} : BlockPair{-1, -1};
  }
};

}  // namespace gramless::cuda
