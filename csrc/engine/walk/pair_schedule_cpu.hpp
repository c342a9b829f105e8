// The order in which pairs of row blocks are computed: rounds in which no block appears twice, so that the tiles of a
// round may run at once although each writes to both of its blocks.
#pragma once

#include <algorithm>
#include <cstdint>

#include "engine/instructions/simd.hpp"

namespace gramless {
inline namespace GRAMLESS_ISA {

// Blocks a and b, each with the number of its pairs before this one. b < 0: a has no partner in this round.
struct BlockPair {
  std::int64_t a, b;
  std::int64_t earlier_a, earlier_b;
};

// Every block with itself, then every two blocks once: the circle method. One block stays in its place, the others
// rotate.
struct SymmetricSchedule {
  std::int64_t blocks;

  std::int64_t count() const { return blocks + (even_blocks() - 1) * (even_blocks() / 2); }
  BlockPair operator[](std::int64_t task) const {
    if (task < blocks) return {task, task, 0, 0};
    const std::int64_t others = even_blocks() - 1, round = (task - blocks) / (even_blocks() / 2),
                       index = (task - blocks) % (even_blocks() / 2);
    if (index == 0) return {round, blocks % 2 ? -1 : others, 1 + round, 1 + round};
    const std::int64_t a = (round + index) % others, b = (round + others - index) % others;
    return {std::min(a, b), std::max(a, b), 1 + round, 1 + round};
  }

 private:
  std::int64_t even_blocks() const { return blocks + blocks % 2; }
};

// Every block of rows with every block of columns, along shifted diagonals. Column blocks are numbered after row
// blocks.
struct RectangularSchedule {
  std::int64_t rows, columns;

  std::int64_t count() const { return rows * columns; }
  BlockPair operator[](std::int64_t task) const {
    const std::int64_t few = std::min(rows, columns), many = std::max(rows, columns);
    const std::int64_t i = task % few, round = task / few, j = (i + round) % many;
    // Block j of the many is paired with blocks min(j, few - 1), ..., 1, 0 of the few and then the rest downwards.
    const std::int64_t earlier_j = i <= j ? std::min(j, few - 1) - i : j + few - i;
    if (rows <= columns) return {i, rows + j, round, earlier_j};
    return {j, rows + i, earlier_j, round};
  }
};

}  // namespace GRAMLESS_ISA
}  // namespace gramless
