// A pair of layers, their HSIC from emulated kernels, and from n x n code in any number type.
#pragma once

#include <cmath>

#include "naive_gram.hpp"

namespace gramless::cuda {

struct Layers {
  DeviceMatrix x, y;
  double sigma_x = 0, sigma_y = 0;  // 0: linear
  Dtype dtype;
};

struct Values {
  double xy, xx, yy;
  bool operator==(const Values&) const = default;
  double cka() const { return xy / std::sqrt(xx) / std::sqrt(yy); }
};

template <class T>
inline Values naive(const Layers& layers, bool unbiased) {
  const NaiveGram<T> k(layers.x, layers.sigma_x), l(layers.y, layers.sigma_y);
  const auto hsic = [&](const NaiveGram<T>& a, const NaiveGram<T>& b) {
    return static_cast<double>(a.hsic(b, unbiased));
  };
  return {hsic(k, l), hsic(k, k), hsic(l, l)};
}
// Half types are summed in float32, as every library does.
inline Values naive(const Layers& layers, bool unbiased, Dtype dtype) {
  return dtype == Dtype::float64 ? naive<double>(layers, unbiased) : naive<float>(layers, unbiased);
}

inline Values ours(const Layers& layers, bool unbiased, Operand operand, HsicTask task = {}) {
  task.x = layers.x.view();
  task.y = layers.y.view();
  task.kernel_x = kernel_of(layers.sigma_x);
  task.kernel_y = kernel_of(layers.sigma_y);
  task.estimator = unbiased ? Estimator::unbiased : Estimator::biased;
  task.operand = operand;
  const DeviceMemory values(3 * sizeof(double)), scratch(hsic_scratch_bytes(task));
  task.values = values.as<double>();
  CHECK(succeeded(hsic(task, scratch.as<char>(), nullptr)));
  const std::vector<double> found = values.values<double>();
  return {found[0], found[1], found[2]};
}

inline Layers layers_of(Dtype dtype, std::int64_t n, std::int64_t p, std::int64_t q, int kernels, double mean = 0) {
  const double sigma_x = kernels & 1 ? std::sqrt(static_cast<double>(p)) : 0,
               sigma_y = kernels & 2 ? 0.7 * std::sqrt(static_cast<double>(q)) : 0;
  const unsigned seed = static_cast<unsigned>(1000 * n + 10 * p + q);
  DeviceMatrix x(dtype, n, p, normal_entries(seed, mean));
  const auto noise = normal_entries(seed + 1);
  DeviceMatrix y(
      dtype, n, q, [&](std::int64_t i, std::int64_t k) { return x.value(i, k % p) + noise(i, k); }, n % 2 == 1, n % 3);
  return {std::move(x), std::move(y), sigma_x, sigma_y, dtype};
}

struct Shape {
  std::int64_t n, p, q;
};

inline void check_accuracy(Dtype dtype, Operand operand, const std::vector<Shape>& shapes) {
  Accuracy cka, self;
  for (const Shape& shape : shapes)
    for (int kernels = 0; kernels < 4; kernels++)
      for (const bool unbiased : {true, false}) {
        if ((unbiased && shape.n < 4) || (shape.n > 70 && unbiased != (kernels < 2))) continue;
        const Layers layers = layers_of(dtype, shape.n, shape.p, shape.q, kernels);
        const Values truth = naive<long double>(layers, unbiased), naive_values = naive(layers, unbiased, dtype),
                     our_values = ours(layers, unbiased, operand);
        cka.add(our_values.cka(), naive_values.cka(), truth.cka());
        self.add(our_values.xx / truth.xx, naive_values.xx / truth.xx, 1);
      }
  CHECK(cka.holds(dtype, name_of(dtype)));
  CHECK(self.holds(dtype, name_of(dtype)));
}

}  // namespace gramless::cuda
