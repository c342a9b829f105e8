// The terms that rsa needs in addition to an HSIC with linear kernels (reductions/hsic_sums.hpp).
#pragma once

#include <span>
#include <utility>
#include <vector>

#include "ops/hsic/chained_sum.hpp"
#include "ops/hsic/representation.hpp"

namespace gramless {

constexpr bool is_of_distances(Estimator estimator) {
  return estimator == Estimator::rsa_pearson || estimator == Estimator::rsa_cosine;
}

struct RowLengths {
  std::vector<double> deviations;  // p_i - mean p, p_i the squared distance of row i to the mean row
  double mean_distance;            // of |x_i - x_j|^2 / 2 over pairs i < j
};

// row_sums: those of the values that tiles hold, without the diagonal; not read if rows are centred on their mean.
inline RowLengths row_lengths(const Representation& layer, std::span<const double> row_sums) {
  std::vector<double> lengths = layer.norms();
  const double n = static_cast<double>(lengths.size());
  if (!layer.on_mean()) {
    // About a centre c: n <x_i - c, m - c>, m the mean row, is the sum of row i of the Gram matrix.
    double all = 0;
    for (std::size_t i = 0; i < lengths.size(); i++) {
      const double of_row = row_sums[i] + layer.shift() * (n - 1) + lengths[i];
      lengths[i] -= 2 / n * of_row;
      all += of_row;
    }
    for (double& length : lengths) length += all / (n * n);
  }
  const double sum = chained_sum(lengths);
  for (double& length : lengths) length -= sum / n;
  return {std::move(lengths), sum / (n - 1)};
}

}  // namespace gramless
