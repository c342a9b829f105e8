// The mean of every column, in float64.
#pragma once

#include <vector>

#include "ops/dispatch/op_table.hpp"

namespace gramless {

std::vector<double> column_means(const ArrayView& x, const OpTable& ops, const Execution& execution);

}  // namespace gramless
