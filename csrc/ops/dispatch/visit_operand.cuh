// From an operand known at run time to its type.
#pragma once

#include "engine/pack/operands.cuh"
#include "ops/api.hpp"

namespace gramless::cuda {

// visitor.template operator()<Operand>()
template <class Visitor>
auto visit_operand(Operand operand, Visitor&& visitor) {
  switch (operand) {
    case Operand::bfloat16:
      return visitor.template operator()<BfloatOperand>();
    case Operand::float16:
      return visitor.template operator()<HalfOperand>();
    case Operand::tf32:
      return visitor.template operator()<Tf32Operand>();
    case Operand::float64:
      return visitor.template operator()<DoubleOperand>();
    default:
      return visitor.template operator()<SplitOperand>();
  }
}

}  // namespace gramless::cuda
