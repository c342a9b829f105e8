// What becomes of a dot product in a CUDA tile: the twins of epilogues/tile_kernels.hpp, their parameters on the
// device.
#pragma once

#include "epilogues/exp.cuh"

namespace gramless::cuda {

// A kernel function made ready for tiles. They hold its values as k / unit - shift.
template <class T>
struct TileKernel {
  bool rbf;
  T slope;  // -2 gamma log2(e)
  T log2_unit, shift;
  double gamma, unit;
  double noise;  // how far rounding alone may move a value

  // <a, b> - shift, or exp(-gamma |a - b|^2) / unit - shift; norms are |a|^2 and |b|^2, rounded as the dot product is,
  // so that equal rows are at distance 0.
  __device__ __forceinline__ T operator()(T dot, T row_norm, T column_norm) const {
    if (!rbf) return dot - shift;
    constexpr T lowest = -ExpConstants<T>::highest2;
    T half = (row_norm * T(0.5) + column_norm * T(0.5)) - dot;
    half = T(0) > half ? T(0) : half;  // in this order NaN passes
    T exponent = half * slope - log2_unit;
    exponent = lowest > exponent ? lowest : exponent;
    return exp2_minus(exponent, shift);
  }
};

}  // namespace gramless::cuda
