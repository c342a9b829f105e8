// The estimators of HSIC as algebra of sums over the Gram matrices: scalar, float64, once per pair of layers.
#pragma once

#include "support/shared.hpp"

namespace gramless {

// Sums of two Gram matrices with their diagonals, for n rows.
struct FullSums {
  double products;      // sum_ij K_ij L_ij
  double row_products;  // sum_i R_i S_i, R and S the row sums
  double total_k, total_l;
};

// tr(K H L H) / (n - 1)^2 (Gretton et al. 2005)
GRAMLESS_HD double biased_hsic(const FullSums& sums, double n) {
  return (sums.products - 2 / n * sums.row_products + sums.total_k * sums.total_l / (n * n)) / ((n - 1) * (n - 1));
}

// The same sums with zero diagonals (Song et al. 2012, eq. 5).
struct HollowSums {
  double products, row_products, total_k, total_l;
};

// The sum of products of both U-centred matrices.
GRAMLESS_HD double centered_products(const HollowSums& sums, double n) {
  return sums.products + sums.total_k * sums.total_l / ((n - 1) * (n - 2)) - 2 / (n - 2) * sums.row_products;
}

GRAMLESS_HD double unbiased_hsic(const HollowSums& sums, double n) {
  return centered_products(sums, n) / (n * (n - 3));
}

// For linear kernels: the covariance of |x_i - x_j|^2 / 2 and |y_i - y_j|^2 / 2 over pairs i < j. lengths: sum_i (p_i -
// mean p) (q_i - mean q), p_i and q_i the squared distances of rows i to the mean rows.
GRAMLESS_HD double distance_covariance(const HollowSums& sums, double lengths, double n) {
  return (centered_products(sums, n) + n * n / (2 * (n - 2)) * lengths) / (n * (n - 1));
}

}  // namespace gramless
