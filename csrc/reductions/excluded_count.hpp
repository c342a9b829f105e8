// How many negatives a fraction of them is, on either device.
#pragma once

#include <cmath>

#include "support/shared.hpp"

namespace gramless {

// max(1, floor(fraction negatives)), and none of none. Products just below a whole number are that number: 0.29 of 100
// is 29, and 28.999999999999996 in float64.
GRAMLESS_HD double excluded_count(double fraction, double negatives) {
  if (!(fraction > 0) || negatives == 0) return 0;
  const double whole = std::floor(fraction * negatives * (1 + 1e-12));
  return whole < 1 ? 1 : whole;
}

}  // namespace gramless
