// HSIC without each of several folds of rows, from the walk over tiles that sums the HSIC of all.
#pragma once

#include "ops/hsic/hsic.hpp"

namespace gramless {

struct RowFolds {
  std::span<const std::int64_t> order;  // (n): the rows, fold after fold
  std::span<const std::int64_t> sizes;  // (folds): how many each has

  // Whether they are rows [0, n), each once.
  bool cover(std::int64_t n) const;
};

struct JackknifeValues {           // in the layers' own units, as HsicValues
  std::vector<double> xy, xx, yy;  // (1 + folds): of all rows, then without each fold
  std::vector<double> tied;        // (2): Representation::tied
};

// Bandwidths, means and shifts are those of all rows.
JackknifeValues jackknife_hsic(const LayerInput& x, const LayerInput& y, const RowFolds& folds, Estimator estimator,
                               const OpTable& ops, const Execution& execution);

}  // namespace gramless
