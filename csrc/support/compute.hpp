// The type in which a call computes.
#pragma once

#include <cstddef>
#include <cstdint>

#include "support/shared.hpp"

namespace gramless {

// The type of the call's statistics and tiles.
enum class Compute : std::uint8_t { float32, float64 };

GRAMLESS_SHARED std::size_t element_bytes(Compute compute) {
  return compute == Compute::float32 ? sizeof(float) : sizeof(double);
}

}  // namespace gramless
