// Which kernel functions there are, with their own parameters. Plain data, the same type for every ISA.
#pragma once

#include <variant>

#include "support/shared.hpp"

namespace gramless {

// k(a, b) = <a, b>
struct Linear {};

// k(a, b) = exp(-gamma |a - b|^2), gamma = 1 / (2 sigma^2); tiles hold it in units of 2^log2_unit.
struct Rbf {
  double gamma;
  double log2_unit = 0;
  bool clamped = true;  // whether exponents may leave the range of a float
};

using Kernel = std::variant<Linear, Rbf>;

// std::visit for this variant, without the library code behind it: that code must not be compiled per ISA.
template <class Visitor>
GRAMLESS_SHARED void visit_kernel(const Kernel& kernel, Visitor&& visitor) {
  if (const Rbf* rbf = std::get_if<Rbf>(&kernel)) return visitor(*rbf);
  visitor(*std::get_if<Linear>(&kernel));
}

}  // namespace gramless
