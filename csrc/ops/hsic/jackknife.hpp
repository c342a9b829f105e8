// HSIC without each of several groups of rows, from the walk over tiles that sums the HSIC of all.
#pragma once

#include "ops/hsic/hsic.hpp"

namespace gramless {

struct RowGroups {
  std::span<const std::int64_t> order;  // (n): the rows, group after group
  std::span<const std::int64_t> sizes;  // (groups): how many each has

  // Whether they are rows [0, n), each once.
  bool cover(std::int64_t n) const;
};

struct JackknifeValues {           // in the layers' own units, as HsicValues
  std::vector<double> xy, xx, yy;  // (1 + groups): of all rows, then without each group
  std::vector<double> tied;        // (2): Representation::tied
};

// Bandwidths, means and shifts are those of all rows.
JackknifeValues jackknife_hsic(const LayerInput& x, const LayerInput& y, const RowGroups& groups, Estimator estimator,
                               const OpTable& ops, const Execution& execution);

}  // namespace gramless
