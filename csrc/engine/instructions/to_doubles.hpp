// Vectors of float64 from vectors of a compute type.
#pragma once

#include "engine/instructions/simd.hpp"

namespace gramless {
inline namespace GRAMLESS_ISA {

GRAMLESS_INLINE Vector<double> to_doubles(Vector<float, lanes<double>> values) {
#if defined(__AVX512F__) && GRAMLESS_VECTOR_BYTES == 64
  // One instruction; GCC 12 compiles the version below to four, two conversions of halves and two that join them.
  return reinterpret_cast<Vector<double>>(_mm512_maskz_cvtps_pd(0xff, reinterpret_cast<__m256>(values)));
#else
  return __builtin_convertvector(values, Vector<double>);
#endif
}
GRAMLESS_INLINE Vector<double> to_doubles(Vector<double> values) { return values; }

}  // namespace GRAMLESS_ISA
}  // namespace gramless
