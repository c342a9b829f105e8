// From an operand known at run time to its type.
#pragma once

#include <type_traits>

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

// The same where there is no TF32: its rows are split.
template <class Visitor>
auto visit_operand_without_tf32(Operand operand, Visitor&& visitor) {
  return visit_operand(operand == Operand::tf32 ? Operand::split : operand, [&]<class Chosen>() {
    using Known = std::conditional_t<std::is_same_v<Chosen, Tf32Operand>, SplitOperand, Chosen>;
    return visitor.template operator()<Known>();
  });
}

}  // namespace gramless::cuda
