// HSIC and the median distance by definition, with the n x n matrix, in any number type.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "matrices.hpp"

namespace gramless::testing {

template <class Number>
std::vector<Number> naive_centered(const Matrix& x) {
  const std::int64_t n = x.view().rows, d = x.view().cols;
  std::vector<Number> centered(static_cast<std::size_t>(n * d));
  for (std::int64_t k = 0; k < d; k++) {
    double sum = 0;
    for (std::int64_t i = 0; i < n; i++) sum += x.value(i, k);
    for (std::int64_t i = 0; i < n; i++)
      centered[static_cast<std::size_t>(i * d + k)] = static_cast<Number>(x.value(i, k) - sum / static_cast<double>(n));
  }
  return centered;
}

// (n, n); sigma 0: linear.
template <class Number>
std::vector<Number> naive_gram(const Matrix& x, double sigma) {
  const std::int64_t n = x.view().rows, d = x.view().cols;
  const std::vector<Number> rows = naive_centered<Number>(x);
  const Number two_sigma2 = static_cast<Number>(2 * sigma * sigma);
  std::vector<Number> gram;
  for (std::int64_t i = 0; i < n; i++)
    for (std::int64_t j = 0; j < n; j++) {
      Number sum = 0;  // the dot product or the squared distance
      for (std::int64_t k = 0; k < d; k++) {
        const Number a = rows[static_cast<std::size_t>(i * d + k)], b = rows[static_cast<std::size_t>(j * d + k)];
        sum += sigma > 0 ? (a - b) * (a - b) : a * b;
      }
      gram.push_back(sigma > 0 ? std::exp(-sum / two_sigma2) : sum);
    }
  return gram;
}

template <class Number>
Number naive_hsic(const std::vector<Number>& k, const std::vector<Number>& l, bool unbiased) {  // Gram matrices
  const auto rows = static_cast<std::size_t>(std::lround(std::sqrt(static_cast<double>(k.size()))));
  const Number n = static_cast<Number>(rows);
  Number products = 0, row_products = 0, total_k = 0, total_l = 0;
  for (std::size_t i = 0; i < rows; i++) {
    Number row_k = 0, row_l = 0;
    for (std::size_t j = 0; j < rows; j++) {
      if (unbiased && i == j) continue;
      products += k[i * rows + j] * l[i * rows + j];
      row_k += k[i * rows + j];
      row_l += l[i * rows + j];
    }
    row_products += row_k * row_l;
    total_k += row_k;
    total_l += row_l;
  }
  if (unbiased)
    return (products + total_k * total_l / ((n - 1) * (n - 2)) - 2 / (n - 2) * row_products) / (n * (n - 3));
  return (products - 2 / n * row_products + total_k * total_l / (n * n)) / ((n - 1) * (n - 1));
}

// The median of squared distances.
inline double naive_median(const Matrix& x, bool include_diagonal) {
  const std::int64_t n = x.view().rows;
  std::vector<double> distances;
  for (std::int64_t i = 0; i < n; i++)
    for (std::int64_t j = 0; j < n; j++) {
      if (i == j && !include_diagonal) continue;
      double distance2 = 0;
      for (std::int64_t k = 0; k < x.view().cols; k++) distance2 += std::pow(x.value(i, k) - x.value(j, k), 2);
      distances.push_back(distance2);
    }
  std::sort(distances.begin(), distances.end());
  return 0.5 * (distances[(distances.size() - 1) / 2] + distances[distances.size() / 2]);
}

}  // namespace gramless::testing
