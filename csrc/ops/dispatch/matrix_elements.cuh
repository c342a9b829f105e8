// Elements of the caller's device array, read and written in its dtype. Not for inner loops.
#pragma once

#include "engine/instructions/primitives.cuh"
#include "ops/api.hpp"

namespace gramless::cuda {

__device__ __forceinline__ float widen_bfloat(std::uint16_t bits) {
  const std::uint32_t word = std::uint32_t{bits} << 16;
  float value;
  memcpy(&value, &word, sizeof value);
  return value;
}

template <class T>
__device__ __forceinline__ T element(const Matrix& x, std::int64_t i, std::int64_t k) {
  const char* const at = static_cast<const char*>(x.data) + i * x.row_stride + k * x.col_stride;
  switch (x.dtype) {
    case Dtype::float64:
      return static_cast<T>(*reinterpret_cast<const double*>(at));
    case Dtype::float16:
      return static_cast<T>(widen_half(*reinterpret_cast<const std::uint16_t*>(at)));
    case Dtype::bfloat16:
      return static_cast<T>(widen_bfloat(*reinterpret_cast<const std::uint16_t*>(at)));
    default:
      return static_cast<T>(*reinterpret_cast<const float*>(at));
  }
}

// Writes an element of a contiguous array.
template <class T>
__device__ __forceinline__ void set_element(void* data, Dtype dtype, std::int64_t at, T value) {
  switch (dtype) {
    case Dtype::float64:
      static_cast<double*>(data)[at] = static_cast<double>(value);
      return;
    case Dtype::float16:
      static_cast<std::uint16_t*>(data)[at] = half_bits(static_cast<float>(value));
      return;
    case Dtype::bfloat16:
      static_cast<std::uint16_t*>(data)[at] = bfloat_bits(static_cast<float>(value));
      return;
    default:
      static_cast<float*>(data)[at] = static_cast<float>(value);
  }
}

}  // namespace gramless::cuda
