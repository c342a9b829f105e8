// Checks of a device array: an error message, or null.
#pragma once

#include "ops/api.hpp"

namespace gramless::cuda {

inline const char* error_in_matrix(const Matrix& x, Operand operand) {
  const bool known =
      x.dtype == Dtype::float32 || x.dtype == Dtype::float64 || x.dtype == Dtype::float16 || x.dtype == Dtype::bfloat16;
  if (!known) return "an array is none of float32, float64, float16 and bfloat16";
  if (x.rows < 1 || x.cols < 1) return "an array has no rows or no columns";
  if (x.rows > INT32_MAX || x.cols > INT32_MAX) return "an array has more than 2^31 rows or columns";
  if (x.data == nullptr) return "an array has no memory";
  if ((x.dtype == Dtype::float64) != (operand == Operand::float64)) return "float64 arrays need float64 operands";
  return nullptr;
}

}  // namespace gramless::cuda
