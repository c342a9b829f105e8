// Epilogues: kernel values of a tile's dot products, and what their derivatives follow from. Each value is a formula of
// the dot product and of one number per row and per column. A slope is the factor of dk/dx_i that a value determines:
// dk/dx_i is slope * x_j for a linear kernel and -2 gamma slope (x_i - x_j) for a Gaussian one.
#pragma once

#include "epilogues/exp.hpp"
#include "epilogues/kernel.hpp"
#include "epilogues/log.hpp"

namespace gramless {
inline namespace GRAMLESS_ISA {

// <a, b> - shift
template <class T>
struct LinearTile {
  template <class Values>
  GRAMLESS_INLINE Values operator()(const Values& dot, const Values&, const Values&) const {
    return dot - shift;
  }
  T shift;
};
template <class T>
struct LinearSlope {
  static constexpr bool of_root = false;
  GRAMLESS_INLINE Vector<T> operator()(Vector<T>) const { return splat(T(1)); }
};

// |a - b|^2; a row's number is |a|^2, rounded as the tile's dot products are, so that equal rows are at distance 0.
template <class T>
struct SquaredDistanceTile {
  GRAMLESS_INLINE Vector<T> operator()(Vector<T> dot, Vector<T> row, Vector<T> column) const {
    const Vector<T> distance2 = (row + column) - T(2) * dot, zero{};
    return zero > distance2 ? zero : distance2;  // in this order NaN passes
  }
};

// exp(-gamma |a - b|^2) / unit - shift, in powers of 2; a row's number is |a|^2 / 2, so that half the distance needs no
// multiplication. The clamps are left out where no exponent can leave the range of 2^x.
template <class T, bool Clamped>
struct RbfTile {
  template <class Values>
  GRAMLESS_INLINE Values operator()(const Values& dot, const Values& row, const Values& column) const {
    Values half = (row + column) - dot;
    if constexpr (Clamped) half = at_least(half, T(0));
    Values exponent = half * slope - log2_unit;
    if constexpr (Clamped) exponent = at_least(exponent, -ExpConstants<T>::highest2);
    return exp2_minus<T>(exponent, shift);
  }
  T slope, log2_unit, shift;
};
template <class T>
struct RbfSlope {
  static constexpr bool of_root = false;
  GRAMLESS_INLINE Vector<T> operator()(Vector<T> value) const { return (value + shift) * unit; }
  T shift, unit;
};

// exp(-rate |a - b|) / unit - shift, in powers of 2, of tiles that hold the distances.
template <class T>
struct LaplaceTile {
  template <class Values>
  GRAMLESS_INLINE Values operator()(const Values& distance, const Values&, const Values&) const {
    return exp2_minus<T>(at_least(distance * slope - log2_unit, -ExpConstants<T>::highest2), shift);
  }
  T slope, log2_unit, shift;
};
// dk/dx_i is -rate k (x_i - x_j) / |x_i - x_j|, and 0 for equal rows.
template <class T>
struct LaplaceSlope {
  static constexpr bool of_root = true;
  GRAMLESS_INLINE Vector<T> operator()(Vector<T> value, Vector<T> distance) const {
    const Vector<T> k = (value + shift) * unit;
    return distance == Vector<T>{} ? Vector<T>{} : k / distance;  // in this order NaN passes
  }
  T shift, unit;
};

// -|a - b|^exponent / unit - shift, of tiles that hold the distances; a row's number is its offset, which is added.
template <class T>
struct DistanceTile {
  template <class Values>
  GRAMLESS_INLINE Values operator()(const Values& distance, const Values& row, const Values& column) const {
    const Values scaled = distance * per_length, offsets = row + column;
    if (exponent == 1) return offsets - (scaled + shift);
    return offsets - power_minus(scaled, exponent, -shift);
  }
  T per_length, exponent, shift;
};
// dk/dx_i is -exponent |x_i - x_j|^(exponent - 2) (x_i - x_j), and 0 for equal rows.
template <class T>
struct DistanceSlope {
  static constexpr bool of_root = true;
  GRAMLESS_INLINE Vector<T> operator()(Vector<T>, Vector<T> distance) const {
    const Bundle<T, 1> scaled{distance * per_length};
    const Vector<T> slope = exponent == 1 ? T(1) / scaled.parts[0] : power_minus(scaled, exponent - 2, T(0)).parts[0];
    return distance == Vector<T>{} ? Vector<T>{} : slope;  // in this order NaN passes
  }
  T per_length, exponent;
};

// (1 + rate |a - b|^2)^-alpha / unit - shift, in powers of 2, of tiles that hold the distances.
template <class T>
struct RationalQuadraticTile {
  template <class Values>
  GRAMLESS_INLINE Values operator()(const Values& distance, const Values&, const Values&) const {
    const Values base = distance * distance * rate + T(1);
    const Values exponent = Values::of([&](int p) {
      const Vector<T> or_nan = base.parts[p] - base.parts[p];
      return log2_of<T>(base.parts[p]) * minus_alpha + or_nan;
    });
    return exp2_minus<T>(at_least(exponent - log2_unit, -ExpConstants<T>::highest2), shift);
  }
  T rate, minus_alpha, log2_unit, shift;
};
// dk/dx_i is -2 alpha rate k / (1 + rate |x_i - x_j|^2) (x_i - x_j).
template <class T>
struct RationalQuadraticSlope {
  static constexpr bool of_root = true;
  GRAMLESS_INLINE Vector<T> operator()(Vector<T> value, Vector<T> distance) const {
    return (value + shift) * unit / (distance * distance * rate + T(1));
  }
  T shift, unit, rate;
};

// The values of polynomial_kernel.hpp, - shift; a row's number is its t.
template <class T>
struct PolynomialTile {
  template <class Values>
  GRAMLESS_INLINE Values operator()(const Values& dot, const Values& row, const Values& column) const {
    const Values d = dot * factor, base = (row + column) + d + origin;
    Values found = d, a = row, b = column;
    T origin_power = origin;
    for (int k = 1; k < degree; k++) {
      found = base * found + (column * a + row * b) + d * (a + b + origin_power);
      a = (row + origin) * a + row * origin_power;
      b = (column + origin) * b + column * origin_power;
      origin_power *= origin;
    }
    return found * unit - shift;
  }
  T factor, origin, unit, shift;
  int degree;
};
// dk/dx_i is the slope times x_j, rows as they are given: x_j = (x_j - c) + c. The derivatives of an HSIC with respect
// to a row's values sum to 0, so c is multiplied only by the excess of the slopes over one of the row's own.
template <class T>
struct PolynomialSlope {
  static constexpr bool of_root = false;
  static constexpr bool of_dot = true;
  struct Found {
    Vector<T> slope, beyond_row, beyond_column;
  };
  GRAMLESS_INLINE Found operator()(Vector<T> dot, Vector<T> row, Vector<T> column) const {
    const Vector<T> d = dot * factor, base = (row + column) + d + origin;
    Found found{splat(T(1)), {}, {}};
    Vector<T> of_row = found.slope, of_column = found.slope;
    for (int k = 1; k < degree; k++) {
      found.beyond_row = base * found.beyond_row + (column + d) * of_row;
      found.beyond_column = base * found.beyond_column + (row + d) * of_column;
      found.slope *= base;
      of_row *= row + origin;
      of_column *= column + origin;
    }
    return found;
  }
  T factor, origin;
  int degree;
};

template <class T>
LinearTile<T> on_tiles(Linear, double shift) {
  return {static_cast<T>(shift)};
}
template <class T>
LinearSlope<T> slope_on_tiles(Linear, double, double) {
  return {};
}
template <class T, bool Clamped = true>
RbfTile<T, Clamped> on_tiles(Rbf kernel, double shift) {
  return {static_cast<T>(kernel.log2_slope()), static_cast<T>(kernel.log2_unit), static_cast<T>(shift)};
}
template <class T>
RbfSlope<T> slope_on_tiles(Rbf, double shift, double unit) {
  return {static_cast<T>(shift), static_cast<T>(unit)};
}

template <class T>
LaplaceTile<T> on_tiles(Laplace kernel, double shift) {
  return {static_cast<T>(kernel.log2_slope()), static_cast<T>(kernel.log2_unit), static_cast<T>(shift)};
}
template <class T>
LaplaceSlope<T> slope_on_tiles(Laplace, double shift, double unit) {
  return {static_cast<T>(shift), static_cast<T>(unit)};
}

template <class T>
DistanceTile<T> on_tiles(Distance kernel, double shift) {
  return {static_cast<T>(std::ldexp(1.0, -kernel.length)), static_cast<T>(kernel.exponent), static_cast<T>(shift)};
}
template <class T>
DistanceSlope<T> slope_on_tiles(Distance kernel, double, double) {
  return {static_cast<T>(std::ldexp(1.0, -kernel.length)), static_cast<T>(kernel.exponent)};
}

template <class T>
PolynomialTile<T> on_tiles(const Polynomial& kernel, double shift) {
  return {static_cast<T>(kernel.factor), static_cast<T>(kernel.origin), static_cast<T>(std::ldexp(1.0, -kernel.power)),
          static_cast<T>(shift), kernel.degree};
}
template <class T>
PolynomialSlope<T> slope_on_tiles(const Polynomial& kernel, double, double) {
  return {static_cast<T>(kernel.factor), static_cast<T>(kernel.origin), kernel.degree};
}

template <class T>
RationalQuadraticTile<T> on_tiles(RationalQuadratic kernel, double shift) {
  return {static_cast<T>(kernel.rate), static_cast<T>(-kernel.alpha), static_cast<T>(kernel.log2_unit),
          static_cast<T>(shift)};
}
template <class T>
RationalQuadraticSlope<T> slope_on_tiles(RationalQuadratic kernel, double shift, double unit) {
  return {static_cast<T>(shift), static_cast<T>(unit), static_cast<T>(kernel.rate)};
}

// Alternatives that know whether their exponents may leave the range of a float.
template <class Alternative>
concept MayBeClamped = requires(Alternative kernel) { kernel.clamped; };

// Calls use(epilogue) for the kernel function of a layer.
template <class T, class Use>
void visit_tile_kernel(const Kernel& kernel, double shift, Use use) {
  visit_kernel(kernel, [&](auto alternative) {
    if constexpr (MayBeClamped<decltype(alternative)>)
      if (!alternative.clamped) return use(on_tiles<T, false>(alternative, shift));
    use(on_tiles<T>(alternative, shift));
  });
}

template <class T, class Alternative, class Use>
void visit_both(const Alternative& one, double one_shift, const Alternative& other, double other_shift, Use use) {
  const auto use_both = [&]<class Epilogue>(const Epilogue& a, const Epilogue& b) {
    const Epilogue both[2] = {a, b};
    use(both);
  };
  if constexpr (MayBeClamped<Alternative>)
    if (!one.clamped && !other.clamped)
      return use_both(on_tiles<T, false>(one, one_shift), on_tiles<T, false>(other, other_shift));
  use_both(on_tiles<T>(one, one_shift), on_tiles<T>(other, other_shift));
}

// Calls use(epilogue, epilogue), both of one type, for two layers with the same kernel function, not of the root.
template <class T, class Use>
void visit_tile_kernels(const Kernel& first, double first_shift, const Kernel& second, double second_shift, Use use) {
  visit_kernel(first, [&](auto one) {
    if constexpr (!decltype(one)::of_root)
      visit_both<T>(one, first_shift, *std::get_if<decltype(one)>(&second), second_shift, use);
  });
}

}  // namespace GRAMLESS_ISA
}  // namespace gramless
