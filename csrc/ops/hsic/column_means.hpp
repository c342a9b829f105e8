// The mean of every column, in float64.
#pragma once

#include <vector>

#include "ops/dispatch/op_table.hpp"

namespace gramless {

std::vector<double> column_means(const ArrayView& x, const OpTable& ops, const Execution& execution);
// values: (rows, cols) of the compute type.
void subtract_column_means(std::int64_t rows, std::int64_t cols, void* values, const OpTable& ops,
                           const Execution& execution);

}  // namespace gramless
