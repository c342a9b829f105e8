// The nearest rows of every row by cosine, for many layers, and how many of them two layers share. O(n k) memory.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "ops/dispatch/op_table.hpp"

namespace gramless {

struct Neighbors {
  std::vector<std::int32_t> rows;  // (n, k) in ascending order; empty where a row holds NaN or infinity
  std::vector<double> cosines;     // (n, k), where they are wanted
};

// Neighbours by cosines in float64; no row is its own neighbour, and equal cosines are ordered by row number. 1 <= k <
// n. Tiles are computed in float32, or in float64 for layers in which float32 leaves too many rows undecided.
std::vector<Neighbors> nearest_neighbors(std::span<const ArrayView> layers, std::int64_t k, bool with_cosines,
                                         const OpTable& ops, const Execution& execution);

// How many neighbours every layer in xs shares with every layer in ys, over all rows: (xs, ys). Each input is (n, k).
std::vector<std::int64_t> shared_neighbors(std::span<const std::int32_t* const> xs,
                                           std::span<const std::int32_t* const> ys, std::int64_t n, std::int64_t k,
                                           const Execution& execution);

}  // namespace gramless
