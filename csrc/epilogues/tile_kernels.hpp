// Epilogues: what becomes of a dot product in a tile. Each is a value with a formula of the dot product and of one
// number per row and per column.
#pragma once

#include "epilogues/exp.hpp"
#include "epilogues/kernel.hpp"

namespace gramless {
inline namespace GRAMLESS_ISA {

// <a, b>
template <class T>
struct LinearTile {
  explicit LinearTile(Linear) {}
  GRAMLESS_INLINE Vector<T> operator()(Vector<T> dot, Vector<T>, Vector<T>) const { return dot; }
};

// exp(-gamma |a - b|^2); a row's number is -gamma |a|^2, so the exponent is one addition and one multiply-add.
template <class T>
struct RbfTile {
  explicit RbfTile(Rbf kernel) : two_gamma(static_cast<T>(2 * kernel.gamma)) {}
  GRAMLESS_INLINE Vector<T> operator()(Vector<T> dot, Vector<T> row, Vector<T> column) const {
    const Vector<T> exponent = (row + column) + two_gamma * dot, zero{};
    return exp<T>(zero < exponent ? zero : exponent);  // in this order NaN passes
  }
  T two_gamma;
};

template <class T>
LinearTile<T> on_tiles(Linear kernel) {
  return LinearTile<T>(kernel);
}
template <class T>
RbfTile<T> on_tiles(Rbf kernel) {
  return RbfTile<T>(kernel);
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
