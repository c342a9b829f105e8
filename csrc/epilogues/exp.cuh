// 2^x on CUDA as epilogues/exp.hpp has it for vectors: the same polynomial, one number at a time.
#pragma once

#include <cstring>
#include <type_traits>

#include "engine/instructions/primitives.cuh"
#include "epilogues/exp_constants.hpp"

namespace gramless::cuda {

namespace detail {

// A template, because device code may read an element of a constexpr array only at a constant index.
template <class T, int I = 0>
__device__ __forceinline__ T series2(T rest) {
  constexpr T coefficient = ExpConstants<T>::series2[I];
  if constexpr (I + 1 == sizeof ExpConstants<T>::series2 / sizeof(T))
    return coefficient;
  else
    return series2<T, I + 1>(rest) * rest + coefficient;
}

template <class T>
__device__ __forceinline__ T power_of_two(T shifted) {
  std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t> bits;
  std::memcpy(&bits, &shifted, sizeof bits);
  bits <<= ExpConstants<T>::mantissa_bits;
  std::memcpy(&shifted, &bits, sizeof bits);
  return shifted;
}

}  // namespace detail

// 2^x - subtrahend for |x| <= highest2; near x = 0 and for the subtrahend 1 no digit is lost.
template <class T>
__device__ __forceinline__ T exp2_minus(T x, T subtrahend) {
  constexpr T round_shift = ExpConstants<T>::round_shift;
  const T shifted = x + round_shift, rest = x - (shifted - round_shift);
  const T scale = detail::power_of_two(shifted);
  return detail::series2(rest) * rest * scale + (scale - subtrahend);
}

}  // namespace gramless::cuda
