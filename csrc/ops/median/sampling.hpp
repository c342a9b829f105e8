// Seeded samples of rows and pairs: the same for every run, thread count and ISA.
#pragma once

#include <cstdint>
#include <vector>

namespace gramless {

std::vector<std::int64_t> sample_rows(std::int64_t n, std::int64_t count);   // distinct, ascending
std::vector<std::int64_t> sample_pairs(std::int64_t n, std::int64_t count);  // (count, 2), i != j; with replacement
// The pairs (i, j), (i, l), (m, j), (m, l) of four different rows, (4 count, 2); first >= 0: i is always that row.
std::vector<std::int64_t> sample_quadruples(std::int64_t n, std::int64_t count, std::int64_t first);

}  // namespace gramless
