// Epilogues: kernel values of a tile's dot products. Each is a formula of the dot product and of one number per row and
// per column.
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

// exp(-rate |a - b|) / unit - shift, in powers of 2, of tiles that hold the distances.
template <class T>
struct LaplaceTile {
  template <class Values>
  GRAMLESS_INLINE Values operator()(const Values& distance, const Values&, const Values&) const {
    return exp2_minus<T>(at_least(distance * slope - log2_unit, -ExpConstants<T>::highest2), shift);
  }
  T slope, log2_unit, shift;
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

// What kernel.hpp has for a polynomial, - shift; a row's number is its t.
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

template <class T>
LinearTile<T> on_tiles(Linear, double shift) {
  return {static_cast<T>(shift)};
}
template <class T, bool Clamped = true>
RbfTile<T, Clamped> on_tiles(Rbf kernel, double shift) {
  return {static_cast<T>(kernel.log2_slope()), static_cast<T>(kernel.log2_unit), static_cast<T>(shift)};
}

template <class T>
LaplaceTile<T> on_tiles(Laplace kernel, double shift) {
  return {static_cast<T>(kernel.log2_slope()), static_cast<T>(kernel.log2_unit), static_cast<T>(shift)};
}

template <class T>
DistanceTile<T> on_tiles(Distance kernel, double shift) {
  return {static_cast<T>(std::ldexp(1.0, -kernel.length)), static_cast<T>(kernel.exponent), static_cast<T>(shift)};
}

template <class T>
PolynomialTile<T> on_tiles(const Polynomial& kernel, double shift) {
  return {static_cast<T>(kernel.factor), static_cast<T>(kernel.origin), static_cast<T>(std::ldexp(1.0, -kernel.power)),
          static_cast<T>(shift), kernel.degree};
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

// Calls use(epilogue, epilogue), both of one type, for two layers with the same kernel function.
template <class T, class Use>
void visit_tile_kernels(const Kernel& first, double first_shift, const Kernel& second, double second_shift, Use use) {
  visit_kernel(first, [&](auto one) {
    const auto other = *std::get_if<decltype(one)>(&second);
    const auto use_both = [&]<class Epilogue>(const Epilogue& a, const Epilogue& b) {
      const Epilogue both[2] = {a, b};
      use(both);
    };
    if constexpr (MayBeClamped<decltype(one)>)
      if (!one.clamped && !other.clamped)
        return use_both(on_tiles<T, false>(one, first_shift), on_tiles<T, false>(other, second_shift));
    use_both(on_tiles<T>(one, first_shift), on_tiles<T>(other, second_shift));
  });
}

}  // namespace GRAMLESS_ISA
}  // namespace gramless
