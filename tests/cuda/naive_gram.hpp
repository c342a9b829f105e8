// HSIC with the n x n matrices, in any number type.
#pragma once

#include <cmath>

#include "device_matrix.hpp"
#include "ops/api.hpp"

namespace gramless::cuda {

// The kernel of that bandwidth; 0: linear.
inline KernelSpec kernel_of(double sigma) {
  if (sigma == 0) return {};
  return {.formula = Rbf{}, .sigma = sigma};
}

// Naive code with the n x n matrices, in any number type.
template <class T>
class NaiveGram {
 public:
  template <class Source>
  NaiveGram(const Source& x, double sigma) : n_(static_cast<std::size_t>(x.rows())) {
    const auto width = static_cast<std::size_t>(x.cols());
    std::vector<T> rows(n_ * width);
    for (std::size_t k = 0; k < width; k++) {
      T mean = 0;
      for (std::size_t i = 0; i < n_; i++) mean += entry(x, i, k);
      mean /= static_cast<T>(n_);
      for (std::size_t i = 0; i < n_; i++) rows[i * width + k] = entry(x, i, k) - mean;
    }
    for (std::size_t i = 0; i < n_; i++)
      for (std::size_t j = 0; j < n_; j++) {
        T sum = 0;
        for (std::size_t k = 0; k < width; k++) sum += rows[i * width + k] * rows[j * width + k];
        values_.push_back(sum);
      }
    if (sigma > 0) exponentiate(static_cast<T>(2 * sigma * sigma));
  }

  T hsic(const NaiveGram& other, bool unbiased) const {
    T products = 0, row_products = 0, total_k = 0, total_l = 0;
    const T n = static_cast<T>(n_);
    for (std::size_t i = 0; i < n_; i++) {
      T row_k = 0, row_l = 0;
      for (std::size_t j = 0; j < n_; j++) {
        if (unbiased && i == j) continue;
        products += values_[i * n_ + j] * other.values_[i * n_ + j];
        row_k += values_[i * n_ + j];
        row_l += other.values_[i * n_ + j];
      }
      row_products += row_k * row_l;
      total_k += row_k;
      total_l += row_l;
    }
    if (unbiased)
      return (products + total_k * total_l / ((n - 1) * (n - 2)) - 2 / (n - 2) * row_products) / (n * (n - 3));
    return (products - 2 / n * row_products + total_k * total_l / (n * n)) / ((n - 1) * (n - 1));
  }

  // mean k_ii - mean k_ij over i != j
  T spread() const {
    T trace = 0, total = 0;
    for (std::size_t i = 0; i < n_; i++)
      for (std::size_t j = 0; j < n_; j++) (i == j ? trace : total) += values_[i * n_ + j];
    const T n = static_cast<T>(n_);
    return trace / n - total / (n * (n - 1));
  }

 private:
  template <class Source>
  static T entry(const Source& x, std::size_t i, std::size_t k) {
    return static_cast<T>(x.value(static_cast<std::int64_t>(i), static_cast<std::int64_t>(k)));
  }

  void exponentiate(T two_sigma2) {
    std::vector<T> norms;
    for (std::size_t i = 0; i < n_; i++) norms.push_back(values_[i * n_ + i]);
    for (std::size_t i = 0; i < n_; i++)
      for (std::size_t j = 0; j < n_; j++) {
        T& value = values_[i * n_ + j];
        value = std::exp(-std::max(T(0), norms[i] + norms[j] - 2 * value) / two_sigma2);
      }
  }

  std::size_t n_;
  std::vector<T> values_;
};

}  // namespace gramless::cuda
