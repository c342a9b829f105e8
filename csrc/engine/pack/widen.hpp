// Vectors of float32 from vectors of 16-bit floats, exactly: bitwise-identical to those of support/dtype.hpp.
#pragma once

#include <bit>

#include "engine/instructions/simd.hpp"
#include "support/dtype.hpp"

namespace gramless {
inline namespace GRAMLESS_ISA {

namespace detail {

GRAMLESS_INLINE Vector<float> widen_vector(Vector<std::uint16_t, lanes<float>> bits, BFloat16) {
  using Wide = Vector<std::uint32_t>;
  return std::bit_cast<Vector<float>>(__builtin_convertvector(bits, Wide) << 16);
}
GRAMLESS_INLINE Vector<float> widen_vector(Vector<std::uint16_t, lanes<float>> bits, Half) {
  using Wide = Vector<std::uint32_t>;
  const Wide half = __builtin_convertvector(bits, Wide), none{};
  const Wide sign = (half & 0x8000u) << 16, magnitude = (half & 0x7fffu) << 13, exponent = magnitude & 0x0f800000u;
  const Wide least = none + 0x38800000u;  // subnormals: added to the smallest normal number, which is then subtracted
  const Wide small =
      std::bit_cast<Wide>(std::bit_cast<Vector<float>>(magnitude + 0x38800000u) - std::bit_cast<Vector<float>>(least));
  const Wide normal = magnitude + 0x38000000u, large = magnitude | 0x7f800000u;
  const Wide value = exponent == 0x0f800000u ? large : exponent == none ? small : normal;
  return std::bit_cast<Vector<float>>(value | sign);
}

}  // namespace detail

// Neighbouring elements at an address that may be misaligned, stored as T or, where T is float, as 16-bit floats.
template <class T, class Stored>
GRAMLESS_INLINE Vector<T> load_vector(const char* address, Stored stored) {
  if constexpr (std::is_same_v<T, Stored>)
    return load<Vector<T>>(address);
  else
    return detail::widen_vector(load<Vector<std::uint16_t, lanes<float>>>(address), stored);
}

// copy[k] = the element at `source`, `count` neighbours.
template <class Stored>
GRAMLESS_INLINE void widen_row(const char* source, int count, float* copy, Stored stored) {
  int k = 0;
  for (; k + lanes<float> <= count; k += lanes<float>) store(copy + k, load_vector<float>(source + 2 * k, stored));
  for (; k < count; k++) copy[k] = load_element<float, Stored>(source + 2 * k);
}

}  // namespace GRAMLESS_ISA
}  // namespace gramless
