// A dot product becomes a logit, and that its exponential: the twin of epilogues/logit.hpp.
#pragma once

#include <numbers>

#include "engine/pack/operands.cuh"
#include "epilogues/exp.cuh"

namespace gramless::cuda {

namespace detail {

// 2^x with as many digits as the operand's logits have. Results above 2^127 and below 2^-126 are wrong.
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

  // of_dot: the factor of a dot product. of_all: the shift of all anchors, not used where shifts are running.
  __device__ __forceinline__ Logit(double of_dot, double of_all)
      : scale(static_cast<T>(of_dot)),
        fixed_shift(static_cast<T>(of_all)),
        log2_scale(static_cast<T>(of_dot * std::numbers::log2e)),
        log2_shift(static_cast<T>(of_all * std::numbers::log2e)) {}

  // Rounded on its own: forward and backward subtract shifts from it, and must not differ by a fused multiply-add.
  __device__ __forceinline__ T operator()(T dot) const { return multiply_rounded(dot, scale); }

  // The exponential of a logit where each anchor has its own shift. Larger exponents count as the highest one; their
  // results are not used.
  __device__ __forceinline__ T running_weight(T logit, T shift) const {
    constexpr T highest = ExpConstants<T>::highest;
    const T exponent = logit - shift;
    return detail::exponential<Operand>(highest < exponent ? highest : exponent);  // in this order NaN passes
  }

  // The exponential of a dot product where all anchors have the fixed shift. For 16-bit rows one multiply-add, the same
  // in forward and backward.
  __device__ __forceinline__ T fixed_weight(T dot) const {
    if constexpr (Operand::planes == 1 && !std::is_same_v<T, double>)
      return exp2_approximately(fused_multiply_add(dot, log2_scale, -log2_shift));
    else
      return detail::exponential<Operand>((*this)(dot)-fixed_shift);
  }

  template <bool Running>
  __device__ __forceinline__ T weight(T dot, T shift) const {
    if constexpr (Running)
      return running_weight((*this)(dot), shift);
    else
      return fixed_weight(dot);
  }

  T scale, fixed_shift, log2_scale, log2_shift;
};

}  // namespace gramless::cuda
