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

// |a - b|^2; a row's number is |a|^2, rounded as the tile's dot products are, so that equal rows are at distance 0.
template <class T>
struct SquaredDistanceTile {
  GRAMLESS_INLINE Vector<T> operator()(Vector<T> dot, Vector<T> row, Vector<T> column) const {
    const Vector<T> distance2 = (row + column) - T(2) * dot, zero{};
    return zero > distance2 ? zero : distance2;  // in this order NaN passes
  }
};

// exp(-gamma |a - b|^2 - log_unit) - shift
template <class T>
struct RbfTile {
  GRAMLESS_INLINE Vector<T> operator()(Vector<T> dot, Vector<T> row, Vector<T> column) const {
    const Vector<T> distance2 = SquaredDistanceTile<T>{}(dot, row, column);
    return exp_minus<T>(distance2 * minus_gamma - log_unit, shift);
  }
  T minus_gamma, log_unit, shift;
};

template <class T>
LinearTile<T> on_tiles(Linear, double shift) {
  return {static_cast<T>(shift)};
}
template <class T>
RbfTile<T> on_tiles(Rbf kernel, double shift) {
  return {static_cast<T>(-kernel.gamma), static_cast<T>(kernel.log_unit), static_cast<T>(shift)};
}

}  // namespace GRAMLESS_ISA
}  // namespace gramless
