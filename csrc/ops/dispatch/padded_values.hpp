// Arrays as tiles read them: of the compute type, or of integers of the same width, with readable padding at the end.
#pragma once

#include <vector>

#include "ops/dispatch/op_table.hpp"
#include "support/aligned_buffer.hpp"

namespace gramless {

AlignedBuffer padded_values(const std::vector<double>& values, Compute compute);
AlignedBuffer padded_groups(const std::vector<std::int64_t>& groups, Compute compute);
// Whole cache lines, an odd number of them: rows of 512 bytes and the like would share few sets of L1.
std::int64_t padded_width(std::int64_t width);

}  // namespace gramless
