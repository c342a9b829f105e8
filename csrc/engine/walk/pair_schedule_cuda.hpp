// The order in which pairs of row blocks are computed on the GPU: a round has every block once, with another or itself,
// so its sums need one slot per row. Block i is paired with block r - i, modulo the number of blocks.
#pragma once

#include <cstdint>

#include "support/shared.hpp"

namespace gramless::cuda {

struct BlockPair {
  std::int64_t i, j;  // i <= j; i < 0: no pair in this slot
};

struct RoundSchedule {
  std::int64_t blocks;

  GRAMLESS_HD std::int64_t count() const { return blocks; }
  GRAMLESS_HD constexpr std::int64_t pairs_per_round() const { return blocks / 2 + 1; }

  // Pairs of neighbouring rounds and neighbouring numbers share rows, which are then read from the cache.
  GRAMLESS_HD BlockPair pair(std::int64_t round, std::int64_t index) const {
    const bool even = round % 2 == 0;
    std::int64_t up = even ? round / 2 : (round + 1) / 2, down = even ? round / 2 : (round - 1) / 2;
    if (blocks % 2 == 1 && !even) up = down = (round + blocks) / 2;
    const bool alone = blocks % 2 == 1 || even;  // the first pair is a block with itself
    const std::int64_t last = blocks % 2 == 1 ? (blocks - 1) / 2 : alone ? blocks / 2 : blocks / 2 - 1;
    if (index > last) return {-1, -1};
    const std::int64_t a = (up + index) % blocks, b = (down - index + blocks) % blocks;
    return a <= b ? BlockPair{a, b} : BlockPair{b, a};
  }
};

}  // namespace gramless::cuda
