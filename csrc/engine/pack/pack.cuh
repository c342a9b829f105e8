// Converts the caller's elements to what tiles read: rounded, or split into two numbers. One warp packs one row.
#pragma once

#include "engine/instructions/block_sums.cuh"
#include "engine/pack/operands.cuh"

namespace gramless::cuda {

__device__ __forceinline__ float power_of_two(int exponent) {
  const std::uint32_t bits = static_cast<std::uint32_t>(exponent + 127) << 23;
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

// 1 / 2^n without a division.
__device__ __forceinline__ float inverse_of_power(float power) {
  std::uint32_t bits;
  memcpy(&bits, &power, sizeof bits);
  bits = (254u << 23) - bits;
  memcpy(&power, &bits, sizeof power);
  return power;
}

// The power of two that brings `largest` into [2^13, 2^14): its low part is then a normal float16, and products with
// other such rows stay far from overflow. 1 for 0, infinity and NaN.
__device__ __forceinline__ float split_scale(float largest) {
  std::uint32_t bits;
  memcpy(&bits, &largest, sizeof bits);
  const int exponent = static_cast<int>(bits >> 23 & 0xffu);
  if (exponent == 0xff || largest == 0) return 1;
  const int scale = 13 + 127 - exponent;
  return power_of_two(scale > 60 ? 60 : scale < -60 ? -60 : scale);
}

template <class Operand>
__device__ __forceinline__ void store_packed(const PackedRows<Operand>& packed, std::int64_t at,
                                             typename Operand::Value value) {
  if constexpr (std::is_same_v<Operand, BfloatOperand>) {
    packed.elements[at] = bfloat_bits(value);
  } else if constexpr (std::is_same_v<Operand, HalfOperand>) {
    packed.elements[at] = half_bits(value);
  } else if constexpr (std::is_same_v<Operand, Tf32Operand>) {
    packed.elements[at] = round_to_tf32(value);
  } else if constexpr (std::is_same_v<Operand, DoubleOperand>) {
    packed.elements[at] = value;
  } else {
    const std::uint16_t high = half_bits(value);
    packed.elements[at] = high;
    packed.elements[packed.plane_stride + at] = half_bits(value - widen_half(high));
  }
}

// An element as tiles multiply it, with its scale.
template <class Operand>
__device__ __forceinline__ typename Operand::Value packed_value(const PackedRows<Operand>& packed, std::int64_t at) {
  if constexpr (std::is_same_v<Operand, BfloatOperand>) {
    const std::uint32_t word = std::uint32_t{packed.elements[at]} << 16;
    float value;
    memcpy(&value, &word, sizeof value);
    return value;
  } else if constexpr (std::is_same_v<Operand, HalfOperand>) {
    return widen_half(packed.elements[at]);
  } else if constexpr (std::is_same_v<Operand, SplitOperand>) {
    return widen_half(packed.elements[at]) + widen_half(packed.elements[packed.plane_stride + at]);
  } else {
    return packed.elements[at];
  }
}

}  // namespace gramless::cuda
