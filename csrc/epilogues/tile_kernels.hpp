// Epilogues: what becomes of a dot product in a tile. Each is a value with a formula of the dot product and of one
// number per row and per column.
#pragma once

#include "epilogues/exp.hpp"
#include "epilogues/kernel.hpp"

namespace gramless {
inline namespace GRAMLESS_ISA {

// <a, b> - shift
template <class T>
struct LinearTile {
  GRAMLESS_INLINE Vector<T> operator()(Vector<T> dot, Vector<T>, Vector<T>) const { return dot - shift; }
  T shift;
};

// exp(-gamma |a - b|^2 - log_unit) - shift; a row's number is -gamma |a|^2 - log_unit / 2, so the exponent is one
// addition and one multiply-add, and small where the kernel value is near its unit.
template <class T>
struct RbfTile {
  GRAMLESS_INLINE Vector<T> operator()(Vector<T> dot, Vector<T> row, Vector<T> column) const {
    const Vector<T> exponent = (row + column) + two_gamma * dot, most = splat(highest);
    return exp_minus<T>(most < exponent ? most : exponent, shift);  // in this order NaN passes
  }
  T two_gamma, highest, shift;  // highest: the exponent of distance 0, which rounding must not exceed
};

template <class T>
LinearTile<T> on_tiles(Linear, double shift) {
  return {static_cast<T>(shift)};
}
template <class T>
RbfTile<T> on_tiles(Rbf kernel, double shift) {
  return {static_cast<T>(2 * kernel.gamma), static_cast<T>(-kernel.log_unit), static_cast<T>(shift)};
}

// |a - b|^2; a row's number is |a|^2.
template <class T>
struct SquaredDistanceTile {
  GRAMLESS_INLINE Vector<T> operator()(Vector<T> dot, Vector<T> row, Vector<T> column) const {
    const Vector<T> distance2 = (row + column) - T(2) * dot, zero{};
    return distance2 <= zero ? zero : distance2;
  }
};

}  // namespace GRAMLESS_ISA
}  // namespace gramless
