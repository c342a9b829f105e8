// What squared distances between rows take, beside an HSIC with linear kernels (reductions/hsic_sums.hpp).
#pragma once

#include <span>
#include <vector>

#include "ops/hsic/representation.hpp"

namespace gramless {

constexpr bool is_of_distances(Estimator estimator) {
  return estimator == Estimator::rsa_pearson || estimator == Estimator::rsa_cosine;
}

struct RowLengths {
  std::vector<double> deviations;  // p_i - mean p, p_i the squared distance of row i to the mean row
  double mean_distance;            // of |x_i - x_j|^2 / 2 over pairs i < j
};

// row_sums: of the values that tiles hold, without the diagonal; not read where rows are centred on their mean.
RowLengths row_lengths(const Representation& layer, std::span<const double> row_sums);

}  // namespace gramless
