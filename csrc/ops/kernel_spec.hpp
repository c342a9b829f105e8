// A kernel function as the user states it: `encode` of gramless/kernels.py, for the CPU and for CUDA.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "epilogues/kernel.hpp"

namespace gramless {

struct KernelSpec {
  Kernel formula = Linear{};                   // which one; its numbers follow from the rest and from the data
  std::optional<double> sigma = std::nullopt;  // none: scale * median distance of the input's rows
  double scale = 1.0;
  bool include_diagonal = false;  // whether the median counts the n zero distances too
  // Exact up to so many rows, beyond that over so many sampled ones; none, and on a device: always exact.
  std::optional<std::int64_t> median_rows = std::nullopt;

  bool of_distance() const { return is_of_distance(formula); }
  bool wants_median() const { return of_distance() && !sigma; }
  // The same with a bandwidth; nothing new where there is none.
  KernelSpec with_sigma(double found) const {
    KernelSpec spec = *this;
    if (of_distance()) spec.sigma = found;
    return spec;
  }
};

// The kernel function of that name, or none.
template <std::size_t Number = 0>
std::optional<Kernel> kernel_named(std::string_view name) {
  if constexpr (Number < std::variant_size_v<Kernel>) {
    using Alternative = std::variant_alternative_t<Number, Kernel>;
    if (name == Alternative::name) return Alternative{};
    return kernel_named<Number + 1>(name);
  } else {
    return std::nullopt;
  }
}

}  // namespace gramless
