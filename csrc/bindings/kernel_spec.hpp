// A kernel function as Python encodes it: (formula, sigma or None, scale, include_diagonal, median_rows or None).
#pragma once

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <string>
#include <tuple>

#include "ops/kernel_spec.hpp"

namespace gramless {

inline KernelSpec kernel_spec(pybind11::handle encoded) {
  const auto [formula, sigma, scale, include_diagonal, median_rows] =
      encoded.cast<std::tuple<std::string, std::optional<double>, double, bool, std::optional<std::int64_t>>>();
  const std::optional<Kernel> known = kernel_named(formula);
  if (!known) throw pybind11::value_error("kernel is '" + formula + "'");
  return {*known, sigma, scale, include_diagonal, median_rows};
}

}  // namespace gramless
