// Seeded samples of rows and pairs: the same for every run, thread count and ISA.
#pragma once

#include <cstdint>
#include <vector>

namespace gramless {

std::vector<std::int64_t> sample_rows(std::int64_t n, std::int64_t count);   // distinct, ascending
std::vector<std::int64_t> sample_pairs(std::int64_t n, std::int64_t count);  // (count, 2), i != j; with replacement

// The pairs of each of `subsets` subsets of rows, (subsets, subset_pairs, 2), i before j; with fewer rows than a subset
// has, those of all rows. No row is in two subsets except `first`, which begins every subset unless it is negative.
constexpr std::int64_t subset_rows = 8, subset_pairs = subset_rows * (subset_rows - 1) / 2;
// Enough subsets to estimate how far the values of a kernel vary; one, for their mean alone, if the rows are so few
// that they are computed in float64.
std::int64_t subsets_of(std::int64_t n);
std::vector<std::int64_t> sample_subsets(std::int64_t n, std::int64_t subsets, std::int64_t first);

}  // namespace gramless
