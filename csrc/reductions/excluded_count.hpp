// The number of negatives in a fraction of them, for the CPU and for CUDA.
#pragma once

#include <cmath>

#include "support/shared.hpp"

namespace gramless {

// max(1, floor(fraction negatives)), and 0 without negatives. Products just below a whole number count as that number:
// 0.29 times 100 is 28.999999999999996 in float64 and counts as 29.
GRAMLESS_HD double excluded_count(double fraction, double negatives) {
  if (!(fraction > 0) || negatives == 0) return 0;
  const double whole = std::floor(fraction * negatives * (1 + 1e-12));
  return whole < 1 ? 1 : whole;
}

}  // namespace gramless
