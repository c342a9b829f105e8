// Which operations the device can run, and with which operands.
#include <cstdlib>

#include "engine/instructions/primitives.cuh"
#include "ops/api.hpp"

namespace gramless::cuda {

Operand default_operand(Dtype dtype, bool allow_tf32) {
  switch (dtype) {
    case Dtype::bfloat16:
      return Operand::bfloat16;
    case Dtype::float16:
      return Operand::float16;
    case Dtype::float64:
      return Operand::float64;
    default:
      return allow_tf32 ? Operand::tf32 : Operand::split;
  }
}

const char* check_device(int device) {
  if (compute_capability(device) < 80) return "the device is older than compute capability 8.0";
  return nullptr;
}

bool hopper_wanted() {
  const char* const wanted = std::getenv("GRAMLESS_HOPPER");
  return wanted != nullptr && wanted[0] == '1' && wanted[1] == '\0' && compute_capability(current_device()) == 90;
}

}  // namespace gramless::cuda
