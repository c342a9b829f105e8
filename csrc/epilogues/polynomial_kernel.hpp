// The polynomial kernel: an alternative of Kernel (kernel.hpp), by the products of rows about a centre.
#pragma once

#include <cmath>
#include <optional>
#include <span>

#include "epilogues/squared_lengths.hpp"
#include "support/shared.hpp"

namespace gramless {

// k(a, b) = (gamma <a, b> + coef0)^degree of rows as they are given. Products are those about a centre c: the base is
// origin + t_a + t_b + d, t_a = gamma <c, a - c>, d = gamma <a - c, b - c>, origin = gamma |c|^2 + coef0. Tiles hold k
// without the parts that depend on one row alone, which do not change an HSIC: p(base) - p(origin + t_a) -
// p(origin + t_b) + p(origin). If the origin is far away, k has too few digits and this difference has them.
struct Polynomial {
  static constexpr const char* name = "polynomial";
  static constexpr bool of_distance = false;
  static constexpr bool of_root = false;
  static constexpr bool has_bandwidth = false;
  static constexpr bool over_features = false;

  int degree = 3;
  double gamma = 0;  // 0: 1 / columns
  double coef0 = 1;
  double factor = 0, origin = 0;  // factor times the product of centred rows is d; bases are below 1
  double moved = 0;               // change of a value per rounding error of 1 of the product of two rows' lengths
  double most = 0;                // an upper bound of the values
  int power = 0, exponent = 0;    // values are held in units of 2^power, k is such a value times 2^exponent_of

  GRAMLESS_SHARED void state(std::span<const std::optional<double>> numbers) {
    degree = static_cast<int>(*numbers[0]);
    gamma = numbers[1].value_or(0);
    coef0 = *numbers[2];
  }
  // Of rows that are held times 2^scale. center2: |c|^2; largest2: the largest |a - c|^2.
  GRAMLESS_SHARED void fit(int scale, double center2, double largest2) {
    int of_gamma = 0, of_coef0 = 0;
    const double gamma_part = std::frexp(gamma, &of_gamma), coef0_part = std::frexp(coef0, &of_coef0);
    const double reach = std::sqrt(center2) + std::sqrt(largest2), products = gamma_part * reach * reach;
    const int of_rows = of_gamma - 2 * scale;
    const bool known = largest2 > 0 && std::isfinite(products);
    const int of_products = known ? of_rows + std::ilogb(products) : 0;
    constexpr int all_digits = 60;
    if (degree == 1 || largest2 == 0 || (known && coef0 != 0 && of_coef0 - of_products > all_digits)) {
      factor = degree * std::pow(coef0_part, degree - 1) * gamma_part;  // products are negligible beside coef0
      const int unit = known ? std::ilogb(factor / gamma_part * products) + 1 : 0;
      factor = std::ldexp(factor, -unit);
      exponent = of_rows + unit + of_coef0 * (degree - 1);
      degree = 1;
      return;
    }
    const int top = coef0 != 0 && of_coef0 > of_products ? of_coef0 : of_products;
    const double bound = std::ldexp(products, of_rows - top) + std::ldexp(std::abs(coef0_part), of_coef0 - top);
    const int length = known ? top + std::ilogb(bound) + 1 : 0;
    factor = std::ldexp(gamma_part, of_rows - length);
    origin = factor * center2 + std::ldexp(coef0_part, of_coef0 - length);
    exponent = degree * length;
  }
  GRAMLESS_SHARED double value(double dot, double row, double column) const {
    const double d = factor * dot, base = origin + row + column + d;
    double found = d, a = row, b = column, origin_power = origin;
    for (int k = 1; k < degree; k++) {
      found = base * found + column * a + row * b + d * (a + b + origin_power);
      a = (origin + row) * a + row * origin_power;
      b = (origin + column) * b + column * origin_power;
      origin_power *= origin;
    }
    return std::ldexp(found, -power);
  }
  // dk / d<a, b> without its factor, and how much larger that is than (origin + row)^(degree - 1).
  struct Slope {
    double value, beyond_row;
  };
  GRAMLESS_SHARED Slope slope(double dot, double row, double column) const {
    const double d = factor * dot, base = origin + row + column + d;
    Slope found{1, 0};
    double of_row = 1;
    for (int k = 1; k < degree; k++) {
      found.beyond_row = base * found.beyond_row + (column + d) * of_row;
      found.value *= base;
      of_row *= origin + row;
    }
    return found;
  }
  GRAMLESS_SHARED double noise(double epsilon, const SquaredLengths&) const { return epsilon * moved; }
  GRAMLESS_SHARED double slope_factor() const { return std::ldexp(degree * factor, -power); }
  GRAMLESS_SHARED int exponent_of(int) const { return exponent + power; }
};

}  // namespace gramless
