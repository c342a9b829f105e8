// HSIC from the sums over its tiles, on the device.
#pragma once

#include "ops/hsic/representation.cuh"
#include "reductions/hsic_sums.hpp"

namespace gramless::cuda {

// k(x_i, x_i) as tiles hold it.
template <class Operand>
__device__ __forceinline__ double diagonal(const DeviceLayer<Operand>& layer, std::int64_t i) {
  return layer.kernel->diagonal(static_cast<double>(layer.norms[i]));
}

// For the biased estimator the sums include the diagonals.
__device__ __forceinline__ double hsic_of(const FullSums& sums, double n, bool biased) {
  if (biased) return biased_hsic(sums, n);
  return unbiased_hsic({sums.products, sums.row_products, sums.total_k, sums.total_l}, n);
}

// 0 if the value is within the rounding error of its terms: the HSIC of a representation without variation must not be
// noise to divide by.
template <class T>
__device__ __forceinline__ double unless_rounding(double value, double product, double total,
                                                  const TileKernel<T>& kernel, double n) {
  const double noise = kernel.noise * kernel.unit, unit2 = kernel.unit * kernel.unit, mean = total / n / n;
  const double mean_square = fabs(product) / (n * n) + mean * mean, shift = static_cast<double>(kernel.shift);
  bool of_distance = false;  // rounding is then relative to each value
  visit_formula(kernel.formula, [&](auto alternative) { of_distance = alternative.of_distance; });
  const double value_square = 2 * product / (n * n) + 2 * shift * mean + shift * shift;
  const double share = !of_distance ? 1 : value_square > 0 ? value_square : 0;
  return fabs(value) <= 16 * noise * noise * share + 1e-14 * unit2 * mean_square ? 0 : value;
}

}  // namespace gramless::cuda
