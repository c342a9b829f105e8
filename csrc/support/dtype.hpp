// From an element type known at run time to a C++ type, and the two 16-bit floats C++20 has no type for.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>

#include "support/array.hpp"

namespace gramless {

struct Half {
  std::uint16_t bits;
};

struct BFloat16 {
  std::uint16_t bits;
};

// Exact for every half value: subnormals are rescaled by a float subtraction instead of being counted bit by bit.
GRAMLESS_SHARED float widen(Half half) {
  const std::uint32_t sign = static_cast<std::uint32_t>(half.bits & 0x8000u) << 16;
  const std::uint32_t magnitude = static_cast<std::uint32_t>(half.bits & 0x7fffu) << 13;
  const std::uint32_t exponent = magnitude & 0x0f800000u;
  if (exponent == 0x0f800000u) return std::bit_cast<float>(sign | 0x70000000u | magnitude | 0x7f800000u);
  if (exponent != 0) return std::bit_cast<float>(sign | (magnitude + 0x38000000u));
  const float value = std::bit_cast<float>(magnitude + 0x38800000u) - std::bit_cast<float>(0x38800000u);
  return std::bit_cast<float>(sign | std::bit_cast<std::uint32_t>(value));
}
GRAMLESS_SHARED float widen(BFloat16 value) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(value.bits) << 16);
}
template <class Number>
GRAMLESS_SHARED Number widen(Number value) {
  return value;
}

// One element at an address that may be misaligned.
template <class Compute, class Stored>
GRAMLESS_SHARED Compute load_element(const char* address) {
  Stored value;
  std::memcpy(&value, address, sizeof value);
  return static_cast<Compute>(widen(value));
}

// Elements [first, first + count) of a row, as a view of unit rows has them.
template <class Compute, class Stored>
GRAMLESS_SHARED void load_unit_row(const ArrayView& x, std::int64_t i, std::int64_t first, std::int64_t count,
                                   Compute* values) {
  const std::int64_t row = x.row_of_data(i);
  const double mean = x.unit.means[row], factor = x.unit.factors[row], rest = x.unit.rests[row];
  const double* const origin = x.unit.origin + first;
  const char* const element = x.row(i) + first * x.col_stride;
  const auto load = [&](std::int64_t stride) {
    for (std::int64_t k = 0; k < count; k++) {
      const double value = load_element<double, Stored>(element + k * stride) - mean;
      const double product = __builtin_fma(value, factor, -origin[k]);
      values[k] = static_cast<Compute>(__builtin_fma(value, rest, product));
    }
  };
  if (x.col_stride == static_cast<std::int64_t>(sizeof(Stored)))
    load(sizeof(Stored));
  else
    load(x.col_stride);
}

// Calls visitor.template operator()<Stored>() with the C++ type of `dtype`.
template <class Visitor>
GRAMLESS_SHARED void visit_dtype(Dtype dtype, Visitor&& visitor) {
  switch (dtype) {
    case Dtype::float32:
      return visitor.template operator()<float>();
    case Dtype::float64:
      return visitor.template operator()<double>();
    case Dtype::float16:
      return visitor.template operator()<Half>();
    case Dtype::bfloat16:
      return visitor.template operator()<BFloat16>();
    case Dtype::int8:
      return visitor.template operator()<std::int8_t>();
    case Dtype::int16:
      return visitor.template operator()<std::int16_t>();
    case Dtype::int32:
      return visitor.template operator()<std::int32_t>();
    case Dtype::int64:
      return visitor.template operator()<std::int64_t>();
    case Dtype::uint8:
      return visitor.template operator()<std::uint8_t>();
    case Dtype::uint16:
      return visitor.template operator()<std::uint16_t>();
    case Dtype::uint32:
      return visitor.template operator()<std::uint32_t>();
    case Dtype::uint64:
      return visitor.template operator()<std::uint64_t>();
    case Dtype::boolean:
      return visitor.template operator()<std::uint8_t>();
  }
}

// Integers of 32 bits and more do not fit a float32 exactly, so they are computed in float64, as numpy promotes them.
inline bool computes_in_float64(Dtype dtype) {
  switch (dtype) {
    case Dtype::float64:
    case Dtype::int32:
    case Dtype::int64:
    case Dtype::uint32:
    case Dtype::uint64:
      return true;
    default:
      return false;
  }
}

// The largest relative change of a number by storing it in this type; for integers that of float64.
inline double rounding_of(Dtype dtype) {
  switch (dtype) {
    case Dtype::bfloat16:
      return 0x1p-8;
    case Dtype::float16:
      return 0x1p-11;
    case Dtype::float32:
      return 0x1p-24;
    default:
      return 0x1p-53;
  }
}

}  // namespace gramless
