// The exact median of squared distances between rows, by counting: no distance is ever stored.
#pragma once

#include "ops/dispatch/op_table.hpp"

namespace gramless {

struct Median {
  double squared_distance;
  double tied = 0;  // the share of pairs i != j that it leaves out
};

// Over pairs i != j, or over all n^2 pairs; an even count averages the middle two. NaN if any distance is NaN. If more
// than half of them are 0 or within rounding of it, the median over the other pairs, if there are any. layer.row_stats
// holds |x_i|^2, at most largest_norm.
Median median_of_distances(const LayerView& layer, bool include_diagonal, double largest_norm, const OpTable& ops,
                           const Execution& execution);
// Over pairs i != j that are not within rounding of 0; 0 if all are. lower: of an even count the smaller of the middle
// two, like torch's median.
Median median_of_apart(const LayerView& layer, bool lower, const OpTable& ops, const Execution& execution);

}  // namespace gramless
