// The exact median of squared distances between rows, by counting: no distance is ever stored.
#pragma once

#include "ops/op_table.hpp"

namespace gramless {

// Over pairs i != j, or over all n^2 pairs; an even count averages the middle two. NaN if any distance is NaN.
// layer.row_stats holds |x_i|^2.
double median_squared_distance(const LayerView& layer, bool include_diagonal, const OpTable& ops,
                               const Execution& execution);

}  // namespace gramless
