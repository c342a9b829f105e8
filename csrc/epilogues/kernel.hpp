// The kernel functions. Each alternative has its name, what a tile must know of its rows, and its formula for single
// numbers; its twins for whole tiles are in epilogues/tile_kernels. The same types for every ISA and for CUDA: plain
// data.
#pragma once

#include <cmath>
#include <cstddef>
#include <numbers>
#include <optional>
#include <span>
#include <variant>

#include "epilogues/polynomial_kernel.hpp"
#include "epilogues/squared_lengths.hpp"
#include "support/shared.hpp"

namespace gramless {

// k(a, b) = <a, b>
struct Linear {
  static constexpr const char* name = "linear";
  static constexpr bool of_distance = false;  // of <a, b> of centred rows, and not of |a - b|
  static constexpr bool of_root = false;      // of |a - b| itself, which tiles find first (ops/gram/near_distances.hpp)
  static constexpr bool has_bandwidth = false;  // by default a multiple of the median distance
  static constexpr bool over_features = true;   // HSIC may be summed over pairs of features
  static constexpr double log2_unit = 0;        // tiles hold k / 2^log2_unit - shift

  GRAMLESS_HD static double diagonal(double norm2) { return norm2; }  // k(a, a)
  // The largest rounding error of a tile's values; for kernels of distances relative to the value.
  GRAMLESS_HD double noise(double epsilon, const SquaredLengths& rows) const { return epsilon * rows.of_pairs; }
  // dk / d<a, b> without the factors that tiles apply (epilogues/kernel_grad.hpp).
  GRAMLESS_HD double slope_factor() const { return 1; }
  // Where rows are stored times 2^scale, k is the value of tiles, diagonal and slope times 2^exponent_of(scale).
  GRAMLESS_HD static int exponent_of(int scale) { return -2 * scale; }
};

// k(a, b) = exp(-gamma |a - b|^2), gamma = 1 / (2 sigma^2)
struct Rbf {
  static constexpr const char* name = "rbf";
  static constexpr bool of_distance = true;
  static constexpr bool of_root = false;
  static constexpr bool has_bandwidth = true;
  static constexpr bool over_features = false;

  double gamma = 0;
  double log2_unit = 0;
  bool clamped = true;  // whether exponents may leave the range of a float

  // Bandwidths near 0 mean "equal or not"; gamma is limited to `sharpest`, because equal rows are at distance exactly 0
  // and 0 times infinity must not arise.
  GRAMLESS_HD static Rbf of(double sigma2, double sharpest) {
    const double gamma = 1 / (2 * sigma2);
    return {gamma > sharpest ? sharpest : gamma};
  }
  GRAMLESS_HD void fit(double largest_distance2) {
    clamped = !(gamma * std::numbers::log2e * largest_distance2 < 100);  // true for NaN
  }
  // The value is 2^(log2_slope times half the squared distance).
  GRAMLESS_HD double log2_slope() const { return -2 * gamma * std::numbers::log2e; }

  GRAMLESS_HD double value(double distance2) const { return std::exp(-gamma * distance2); }
  GRAMLESS_HD static double diagonal(double) { return 1; }
  // Relative to the value, whose exponent has an error of epsilon gamma |a|^2. Where the exponent exceeds 100, rows are
  // equal and their distance is exact, or the value is close to 0.
  GRAMLESS_HD double noise(double epsilon, const SquaredLengths& rows) const {
    return epsilon * (gamma * rows.mean > 100 ? 100 : gamma * rows.mean);
  }
  // The largest relative decrease of a value when a squared distance grows by a small amount.
  GRAMLESS_HD double share_lost(double, double by) const { return gamma * by; }
  GRAMLESS_HD double slope_factor() const { return 2 * gamma; }
  GRAMLESS_HD static int exponent_of(int) { return 0; }
};

// k(a, b) = exp(-rate |a - b|), rate = 1 / sigma
struct Laplace {
  static constexpr const char* name = "laplace";
  static constexpr bool of_distance = true;
  static constexpr bool of_root = true;
  static constexpr bool has_bandwidth = true;
  static constexpr bool over_features = false;

  double rate = 0;
  double log2_unit = 0;

  GRAMLESS_HD static Laplace of(double sigma2, double sharpest) {
    const double rate = 1 / std::sqrt(sigma2), most = std::sqrt(sharpest);
    return {rate > most ? most : rate};
  }
  GRAMLESS_HD void fit(double) {}
  // The value is 2^(log2_slope times the distance).
  GRAMLESS_HD double log2_slope() const { return -rate * std::numbers::log2e; }

  GRAMLESS_HD double value(double distance2) const { return std::exp(-rate * std::sqrt(distance2)); }
  GRAMLESS_HD static double diagonal(double) { return 1; }
  // As for a Gaussian: the distance of rows that are not near each other has a rounding error of epsilon |a|.
  GRAMLESS_HD double noise(double epsilon, const SquaredLengths& rows) const {
    const double exponent = rate * std::sqrt(rows.mean);
    return epsilon * (exponent > 1 ? 1 : exponent);
  }
  GRAMLESS_HD double share_lost(double distance2, double by) const {
    return by == 0 ? 0 : rate * by / (std::sqrt(distance2 + by) + std::sqrt(distance2));
  }
  GRAMLESS_HD double slope_factor() const { return rate; }
  GRAMLESS_HD static int exponent_of(int) { return 0; }
};

// k(a, b) = -|a - b|^exponent
struct Distance {
  static constexpr const char* name = "distance";
  static constexpr bool of_distance = true;
  static constexpr bool of_root = true;
  static constexpr bool has_bandwidth = false;
  static constexpr bool over_features = false;

  double exponent = 1;
  int length = 0;    // tiles hold powers of the distance in units of 2^length
  double share = 1;  // the remaining factor of the rows' unit, which is no power of two

  GRAMLESS_SHARED void state(std::span<const std::optional<double>> numbers) { exponent = *numbers[0]; }
  // For rows that are stored times 2^scale and are typically 2^typical apart.
  GRAMLESS_SHARED void fit(int scale, int typical) {
    length = typical;
    share = std::exp2(-exponent * scale - exponent_of(scale));
  }
  GRAMLESS_SHARED double unit() const { return share * std::exp2(exponent * length); }

  GRAMLESS_SHARED double value(double distance2) const { return -share * std::pow(distance2, exponent / 2); }
  GRAMLESS_SHARED static double diagonal(double) { return 0; }
  GRAMLESS_SHARED double noise(double epsilon, const SquaredLengths&) const { return epsilon * exponent; }
  GRAMLESS_SHARED double share_lost(double distance2, double by) const {
    return by == 0 ? 0 : std::expm1(exponent / 2 * std::log1p(by / distance2));
  }
  GRAMLESS_SHARED bool leaves_float32() const { return exponent < 0.5; }  // of distances below the least float32
  GRAMLESS_SHARED double slope_factor() const { return share * exponent * std::exp2((exponent - 2) * length); }
  GRAMLESS_SHARED int exponent_of(int scale) const { return static_cast<int>(std::lrint(-exponent * scale)); }
};

// k(a, b) = (1 + rate |a - b|^2)^-alpha, rate = 1 / (2 alpha sigma^2)
struct RationalQuadratic {
  static constexpr const char* name = "rational_quadratic";
  static constexpr bool of_distance = true;
  static constexpr bool of_root = true;
  static constexpr bool has_bandwidth = true;
  static constexpr bool over_features = false;

  double alpha = 1, rate = 0;
  double log2_unit = 0;

  GRAMLESS_SHARED void state(std::span<const std::optional<double>> numbers) { alpha = *numbers[0]; }
  GRAMLESS_SHARED RationalQuadratic of(double sigma2, double sharpest) const {
    const double exact = 1 / (2 * alpha * sigma2);
    return {alpha, exact > sharpest ? sharpest : exact};
  }
  GRAMLESS_SHARED void fit(double) {}

  GRAMLESS_SHARED double value(double distance2) const { return std::exp(-alpha * std::log1p(rate * distance2)); }
  GRAMLESS_SHARED static double diagonal(double) { return 1; }
  // As for a Gaussian: the square of the distance of rows that are not near each other has an error of epsilon |a|^2.
  GRAMLESS_SHARED double noise(double epsilon, const SquaredLengths& rows) const {
    const double share = rate * rows.mean;
    return epsilon * alpha * (share > 1 ? 1 : share);
  }
  GRAMLESS_SHARED double share_lost(double distance2, double by) const {
    return alpha * rate * by / (1 + rate * distance2);
  }
  GRAMLESS_SHARED bool leaves_float32() const { return alpha > 8; }  // a rounding of the base is alpha of a value
  GRAMLESS_SHARED double slope_factor() const { return 2 * alpha * rate; }
  GRAMLESS_SHARED static int exponent_of(int) { return 0; }
};

// The first three are on CUDA too.
using Kernel = std::variant<Linear, Rbf, Laplace, Distance, Polynomial, RationalQuadratic>;
constexpr int kernels_on_cuda = 3;

// std::visit for this variant without its library code, which must not be compiled per ISA.
template <std::size_t Number = 0, class Visitor>
GRAMLESS_SHARED void visit_kernel(const Kernel& kernel, Visitor&& visitor) {
  if constexpr (Number + 1 == std::variant_size_v<Kernel>) {
    visitor(*std::get_if<Number>(&kernel));
  } else {
    if (const auto* alternative = std::get_if<Number>(&kernel)) return visitor(*alternative);
    visit_kernel<Number + 1>(kernel, visitor);
  }
}

GRAMLESS_SHARED bool is_of_distance(const Kernel& kernel) {
  bool found = false;
  visit_kernel(kernel, [&](const auto& alternative) { found = alternative.of_distance; });
  return found;
}

GRAMLESS_SHARED bool has_bandwidth(const Kernel& kernel) {
  bool found = false;
  visit_kernel(kernel, [&](const auto& alternative) { found = alternative.has_bandwidth; });
  return found;
}

// Whether float32 leaves no digits of its values, for any rows.
GRAMLESS_SHARED bool leaves_float32(const Kernel& kernel) {
  bool found = false;
  visit_kernel(kernel, [&](const auto& alternative) {
    if constexpr (requires { alternative.leaves_float32(); }) found = alternative.leaves_float32();
  });
  return found;
}

GRAMLESS_SHARED bool is_polynomial(const Kernel& kernel) { return std::get_if<Polynomial>(&kernel) != nullptr; }

GRAMLESS_SHARED bool is_of_root(const Kernel& kernel) {
  bool found = false;
  visit_kernel(kernel, [&](const auto& alternative) { found = alternative.of_root; });
  return found;
}

}  // namespace gramless
