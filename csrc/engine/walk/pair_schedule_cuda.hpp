// In which order blocks of rows meet on the GPU: in a round every block meets one other or itself, so that a round's
// sums need one slot per row. Block i meets block r - i, counted around.
#pragma once

#include <cstdint>

#include "support/shared.hpp"

namespace gramless::cuda {

struct BlockPair {
  std::int64_t i, j;  // i <= j; i < 0: nobody sits at this table
};

struct Rounds {
  std::int64_t blocks;

  GRAMLESS_HD std::int64_t count() const { return blocks; }
  GRAMLESS_HD constexpr std::int64_t tables() const { return blocks / 2 + 1; }

  // Neighbouring rounds at neighbouring tables share rows, which the cache sees.
  GRAMLESS_HD BlockPair pair(std::int64_t round, std::int64_t table) const {
    const bool even = round % 2 == 0;
    std::int64_t up = even ? round / 2 : (round + 1) / 2, down = even ? round / 2 : (round - 1) / 2;
    if (blocks % 2 == 1 && !even) up = down = (round + blocks) / 2;
    const bool alone = blocks % 2 == 1 || even;  // the first table seats one block
    const std::int64_t last = blocks % 2 == 1 ? (blocks - 1) / 2 : alone ? blocks / 2 : blocks / 2 - 1;
    if (table > last) return {-1, -1};
    const std::int64_t a = (up + table) % blocks, b = (down - table + blocks) % blocks;
    return a <= b ? BlockPair{a, b} : BlockPair{b, a};
  }
};

}  // namespace gramless::cuda
