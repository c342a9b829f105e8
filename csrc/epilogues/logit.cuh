// A dot product becomes a logit, and that its exponential: the twin of epilogues/logit.hpp.
#pragma once

#include "engine/operands.cuh"
#include "epilogues/exp.cuh"

namespace gramless::cuda {

namespace detail {

// With as many digits as the operand's logits have. Above 2^127 and below 2^-126 there are none.
template <class Operand>
__device__ __forceinline__ typename Operand::Value exponential(typename Operand::Value x) {
  using T = typename Operand::Value;
  if constexpr (std::is_same_v<T, double>) {
    return exp(x);
  } else if constexpr (Operand::planes == 1) {
    return exp2_approximately(x * ExpConstants<T>::log2_e);
  } else {
    using Constant = ExpConstants<T>;
    constexpr T lowest = Constant::lowest, round_shift = Constant::round_shift;
    x = lowest > x ? lowest : x;  // in this order NaN passes
    const T shifted = x * Constant::log2_e + round_shift, power = shifted - round_shift;
    const T rest = (x - power * Constant::ln2_high) - power * Constant::ln2_low;
    return exp2_approximately(rest * Constant::log2_e) * power_of_two(shifted);
  }
}

}  // namespace detail

// scale <a, b>, and its exponential in units of exp(shift).
template <class Operand>
struct Logit {
  using T = typename Operand::Value;

  // Rounded on its own: forward and backward subtract shifts from it, and must not differ by a fused multiply-add.
  __device__ __forceinline__ T operator()(T dot) const { return multiply_rounded(dot, scale); }

  // What is above the highest exponent is taken as that, and not used: only running shifts leave such pairs.
  template <bool Running>
  __device__ __forceinline__ T weight(T logit, T unit) const {
    T exponent = logit - unit;
    if constexpr (Running) {
      constexpr T highest = ExpConstants<T>::highest;
      exponent = highest < exponent ? highest : exponent;  // in this order NaN passes
    }
    return detail::exponential<Operand>(exponent);
  }

  T scale;
};

}  // namespace gramless::cuda
