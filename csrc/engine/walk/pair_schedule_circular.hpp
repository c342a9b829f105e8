// In which order blocks of rows meet on the GPU where each keeps its rows: they sit around a circle, and everybody
// meets the others at a distance on its right and on its left.
#pragma once

#include "support/shared.hpp"

namespace gramless::cuda {

struct Circle {
  int blocks;

  GRAMLESS_HD int distances() const { return blocks / 2 + 1; }  // 0: itself
  GRAMLESS_HD int right_of(int i, int distance) const { return (i + distance) % blocks; }
  GRAMLESS_HD int left_of(int i, int distance) const { return (i + blocks - distance) % blocks; }

  // Of two blocks one owns the pair: that which has the other on its right, and halfway around the earlier one.
  GRAMLESS_HD bool owns_right(int i, int distance) const { return 2 * distance != blocks || i < right_of(i, distance); }
};

}  // namespace gramless::cuda
