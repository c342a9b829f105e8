// The order in which pairs of row blocks are computed on the GPU where each block keeps its rows: blocks are numbered
// modulo their count, and each is paired with the blocks at a distance to its right and to its left.
#pragma once

#include "support/shared.hpp"

namespace gramless::cuda {

struct CircularSchedule {
  int blocks;

  GRAMLESS_HD int distances() const { return blocks / 2 + 1; }  // 0: itself
  GRAMLESS_HD int right_of(int i, int distance) const { return (i + distance) % blocks; }
  GRAMLESS_HD int left_of(int i, int distance) const { return (i + blocks - distance) % blocks; }

  // One of two blocks owns their pair: the one that has the other on its right and, halfway around, the one with the
  // smaller number.
  GRAMLESS_HD bool owns_right(int i, int distance) const { return 2 * distance != blocks || i < right_of(i, distance); }
};

}  // namespace gramless::cuda
