// The caller's matrix: an address, two strides and an element type. It owns nothing. Plain data: code compiled for
// every CPU passes this type to code compiled for one ISA.
#pragma once

#include <cstddef>
#include <cstdint>

#include "support/shared.hpp"

namespace gramless {

enum class Dtype : std::uint8_t {
  float32,
  float64,
  float16,
  bfloat16,
  int8,
  int16,
  int32,
  int64,
  uint8,
  uint16,
  uint32,
  uint64,
  boolean
};

// A matrix as callers state it, in the memory of the CPU or of a device.
struct Matrix {
  const void* data = nullptr;
  std::int64_t rows = 0, cols = 0;
  std::int64_t row_stride = 0, col_stride = 0;  // bytes, any sign
  Dtype dtype = Dtype::float32;
};

// Read in place of x_ik: (x_ik - means[i]) (factors[i] + rests[i]) - origin[k], in float64. For rows in nearly one
// direction this is a small difference, so a factor has twice the digits and the product is not rounded.
struct UnitRows {
  const double *means = nullptr, *factors = nullptr, *rests = nullptr;  // (rows)
  const double* origin = nullptr;                                       // (cols)
};

// A matrix as the core reads it: perhaps with its rows in another order or scaled.
struct ArrayView : Matrix {
  const std::int64_t* row_index = nullptr;   // (rows): row i of the view is row row_index[i] of the data
  const std::int64_t* row_offset = nullptr;  // of every row of the data, in bytes; null: multiples of row_stride
  double scale = 1;                          // what elements are multiplied by before they are centred: a power of two
  UnitRows unit = {};                        // without factors: elements are read unchanged

  GRAMLESS_SHARED std::int64_t row_of_data(std::int64_t i) const { return row_index ? row_index[i] : i; }
  GRAMLESS_SHARED const char* row(std::int64_t i) const {
    const std::int64_t row = row_of_data(i);
    return static_cast<const char*>(data) + (row_offset ? row_offset[row] : row * row_stride);
  }
  GRAMLESS_SHARED bool of_unit_rows() const { return unit.factors != nullptr; }
};

}  // namespace gramless
