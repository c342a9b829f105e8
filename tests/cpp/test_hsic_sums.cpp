// The estimators' algebra against their definitions with explicit matrices.
#include "reductions/hsic_sums.hpp"

#include <cmath>
#include <random>
#include <vector>

#include "check.hpp"

namespace gramless {
namespace {

constexpr int n = 9;
using Matrix = std::vector<std::vector<double>>;

Matrix random_symmetric(unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<double> normal;
  Matrix matrix(n, std::vector<double>(n));
  for (int i = 0; i < n; i++)
    for (int j = 0; j <= i; j++) matrix[i][j] = matrix[j][i] = normal(random);
  return matrix;
}

Matrix hollow(Matrix matrix) {
  for (int i = 0; i < n; i++) matrix[i][i] = 0;
  return matrix;
}

struct Sums {
  std::vector<double> rows = std::vector<double>(n);
  double total = 0;
};

Sums sums_of(const Matrix& matrix) {
  Sums sums;
  for (int i = 0; i < n; i++)
    for (int j = 0; j < n; j++) sums.rows[i] += matrix[i][j];
  for (const double row : sums.rows) sums.total += row;
  return sums;
}

double inner_product(const Matrix& a, const Matrix& b) {
  double sum = 0;
  for (int i = 0; i < n; i++)
    for (int j = 0; j < n; j++) sum += a[i][j] * b[i][j];
  return sum;
}

// value - a (row + column sums) + b total, off the diagonal only for the U-centred form.
Matrix centered(const Matrix& matrix, double by_row, double by_total, bool off_diagonal_only) {
  const Sums sums = sums_of(matrix);
  Matrix result = matrix;
  for (int i = 0; i < n; i++)
    for (int j = 0; j < n; j++) result[i][j] += by_total * sums.total - by_row * (sums.rows[i] + sums.rows[j]);
  return off_diagonal_only ? hollow(result) : result;
}

template <class Estimate>
double from_sums(const Matrix& k, const Matrix& l, Estimate estimate) {
  const Sums of_k = sums_of(k), of_l = sums_of(l);
  double row_products = 0;
  for (int i = 0; i < n; i++) row_products += of_k.rows[i] * of_l.rows[i];
  return estimate(inner_product(k, l), row_products, of_k.total, of_l.total);
}

TEST(biased_hsic_is_the_trace_of_centred_gram_matrices) {
  const Matrix k = random_symmetric(1), l = random_symmetric(2);
  const double trace = inner_product(centered(k, 1.0 / n, 1.0 / (n * n), false), l) / ((n - 1) * (n - 1));
  const double ours = from_sums(k, l, [](double products, double row_products, double total_k, double total_l) {
    return biased_hsic({products, row_products, total_k, total_l}, n);
  });
  CHECK(std::abs(ours - trace) < 1e-14);
}

TEST(unbiased_hsic_is_the_inner_product_of_u_centred_matrices) {
  const Matrix k = hollow(random_symmetric(3)), l = hollow(random_symmetric(4));
  const auto u_centered = [](const Matrix& matrix) {
    return centered(matrix, 1.0 / (n - 2), 1.0 / ((n - 1) * (n - 2)), true);
  };
  const double expected = inner_product(u_centered(k), u_centered(l)) / (n * (n - 3));
  const double ours = from_sums(k, l, [](double products, double row_products, double total_k, double total_l) {
    return unbiased_hsic({products, row_products, total_k, total_l}, n);
  });
  CHECK(std::abs(ours - expected) < 1e-14);
}

}  // namespace
}  // namespace gramless
