// Seeded samples of rows and pairs: the same for every run, thread count and ISA.
#pragma once

#include <cstdint>
#include <vector>

namespace gramless {

std::vector<std::int64_t> sample_rows(std::int64_t n, std::int64_t count);   // distinct, ascending
std::vector<std::int64_t> sample_pairs(std::int64_t n, std::int64_t count);  // (count, 2), i != j; with replacement

}  // namespace gramless
