// Kernel values of the dot products in a CUDA tile: the twins of epilogues/tile_kernels.hpp and kernel_grad.hpp, with
// their parameters on the device.
#pragma once

#include "epilogues/exp.cuh"
#include "epilogues/kernel.hpp"

namespace gramless::cuda {

// Calls use(alternative) for the kernel function of that number; its parameters are in a TileKernel, not in the
// alternative.
template <int Number = 0, class Use>
__device__ __forceinline__ void visit_formula(int formula, Use use) {
  if constexpr (Number + 1 == kernels_on_cuda) {
    use(std::variant_alternative_t<Number, Kernel>{});
  } else {
    if (formula == Number) return use(std::variant_alternative_t<Number, Kernel>{});
    visit_formula<Number + 1>(formula, use);
  }
}

// A kernel function made ready for tiles. They hold its values as k / unit - shift.
template <class T>
struct TileKernel {
  int formula;  // number of the alternative of Kernel
  T log2_slope, log2_unit, shift;
  double slope_factor, unit;
  double noise;  // the largest rounding error of a value; for kernels of distances relative to the value

  // Whether tiles are to hold |a - b| before their values are found.
  __device__ __forceinline__ bool of_root() const {
    bool found = false;
    visit_formula(formula, [&]<class Alternative>(Alternative) { found = Alternative::of_root; });
    return found;
  }
  // held is the tile's entry: |a - b|, or a dot product, with dot(held) = <a, b>. norms are |a|^2 and |b|^2, rounded as
  // the dot product is, so that equal rows are at distance 0.
  template <class Dot>
  __device__ __forceinline__ T operator()(T held, T row_norm, T column_norm, Dot dot) const {
    T found = 0;
    visit_formula(formula, [&]<class Alternative>(Alternative alternative) {
      if constexpr (Alternative::of_root)
        found = value(alternative, held);
      else
        found = value(alternative, dot(held), row_norm, column_norm);
    });
    return found;
  }
  // The factor of the derivative that a value determines.
  __device__ __forceinline__ T slope(T value) const {
    T found = 0;
    visit_formula(formula, [&]<class Alternative>(Alternative alternative) {
      if constexpr (!Alternative::of_root) found = slope(alternative, value);  // no gradients here
    });
    return found;
  }
  // k(a, a) as tiles hold it.
  __device__ __forceinline__ double diagonal(double norm2) const {
    double found = 0;
    visit_formula(formula, [&](auto alternative) { found = alternative.diagonal(norm2); });
    return found / unit - static_cast<double>(shift);
  }

 private:
  // <a, b> - shift
  __device__ __forceinline__ T value(Linear, T dot, T, T) const { return dot - shift; }
  __device__ __forceinline__ T slope(Linear, T) const { return T(1); }

  // exp(-gamma |a - b|^2) / unit - shift
  __device__ __forceinline__ T value(Rbf, T dot, T row_norm, T column_norm) const {
    constexpr T lowest = -ExpConstants<T>::highest2;
    T half = (row_norm * T(0.5) + column_norm * T(0.5)) - dot;
    half = T(0) > half ? T(0) : half;  // in this order NaN passes
    T exponent = half * log2_slope - log2_unit;
    exponent = lowest > exponent ? lowest : exponent;
    return exp2_minus(exponent, shift);
  }
  __device__ __forceinline__ T slope(Rbf, T value) const { return (value + shift) * static_cast<T>(unit); }

  // exp(-rate |a - b|) / unit - shift
  __device__ __forceinline__ T value(Laplace, T distance) const {
    constexpr T lowest = -ExpConstants<T>::highest2;
    const T exponent = distance * log2_slope - log2_unit;
    return exp2_minus(lowest > exponent ? lowest : exponent, shift);  // in this order NaN passes
  }
};

}  // namespace gramless::cuda
