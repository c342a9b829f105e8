// In which order pairs of row blocks meet: rounds in which no block appears twice, so that the tiles of a round may run
// at once although each writes to both of its blocks.
#pragma once

#include <algorithm>
#include <cstdint>

#include "engine/instructions/simd.hpp"

namespace gramless {
inline namespace GRAMLESS_ISA {

// A meeting of blocks a and b, each with the number of its meetings before this one. b < 0: a sits this round out.
struct Match {
  std::int64_t a, b;
  std::int64_t turn_a, turn_b;
};

// Every block with itself, then every two blocks once: the circle method. One player stays, the others move round.
struct Tournament {
  std::int64_t blocks;

  std::int64_t count() const { return blocks + (players() - 1) * (players() / 2); }
  Match operator[](std::int64_t task) const {
    if (task < blocks) return {task, task, 0, 0};
    const std::int64_t others = players() - 1, round = (task - blocks) / (players() / 2),
                       table = (task - blocks) % (players() / 2);
    if (table == 0) return {round, blocks % 2 ? -1 : others, 1 + round, 1 + round};
    const std::int64_t a = (round + table) % others, b = (round + others - table) % others;
    return {std::min(a, b), std::max(a, b), 1 + round, 1 + round};
  }

 private:
  std::int64_t players() const { return blocks + blocks % 2; }
};

// Every block of rows with every block of columns, along shifted diagonals. Column blocks are numbered after row
// blocks.
struct Pairing {
  std::int64_t rows, columns;

  std::int64_t count() const { return rows * columns; }
  Match operator[](std::int64_t task) const {
    const std::int64_t few = std::min(rows, columns), many = std::max(rows, columns);
    const std::int64_t i = task % few, round = task / few, j = (i + round) % many;
    // Block j of the many meets blocks min(j, few - 1), ..., 1, 0 of the few and then, once around, the rest downwards.
    const std::int64_t turn_j = i <= j ? std::min(j, few - 1) - i : j + few - i;
    if (rows <= columns) return {i, rows + j, round, turn_j};
    return {j, rows + i, turn_j, round};
  }
};

}  // namespace GRAMLESS_ISA
}  // namespace gramless
