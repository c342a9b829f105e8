// Reduction of a row of values to its k-th largest: counting passes over the row, which stays in cache. No copy, no
// scratch, no branch on a value; exact, so that the order of the row does not matter.
#pragma once

#include <bit>
#include <limits>

#include "engine/tile/tile.hpp"

namespace gramless {
inline namespace GRAMLESS_ISA {

namespace detail {

// A float's bits as an integer that orders as the float does; its own inverse.
template <class T>
Bits<T> ordered(Bits<T> bits) {
  return bits < 0 ? bits ^ std::numeric_limits<Bits<T>>::max() : bits;
}
template <class T>
Bits<T> order_of(T value) {
  return ordered<T>(std::bit_cast<Bits<T>>(value));
}
template <class T>
T value_at(Bits<T> order) {
  return std::bit_cast<T>(ordered<T>(order));
}

// How many of `length` values are at least `least`; `length` is a multiple of the register tile's columns.
template <class T>
std::int64_t count_from(const T* values, std::int64_t length, T least) {
  constexpr int vectors = TileShape<T>::micro_cols / lanes<T>;
  Vector<Bits<T>> counts[vectors] = {};
  for (std::int64_t j = 0; j < length; j += vectors * lanes<T>)
#pragma GCC unroll 3
    for (int v = 0; v < vectors; v++) counts[v] -= load<Vector<T>>(values + j + v * lanes<T>) >= splat(least);
  std::int64_t count = 0;
  for (const auto& of_vector : counts)
    for (int lane = 0; lane < lanes<T>; lane++) count += of_vector[lane];
  return count;
}

// The smallest of the values that are at least `least`.
template <class T>
T smallest_from(const T* values, std::int64_t length, T least) {
  Vector<T> smallest = splat(std::numeric_limits<T>::infinity());
  for (std::int64_t j = 0; j < length; j += lanes<T>) {
    const Vector<T> value = load<Vector<T>>(values + j);
    smallest = (value >= least) & (value < smallest) ? value : smallest;
  }
  T answer = smallest[0];
  for (int lane = 1; lane < lanes<T>; lane++) answer = std::min<T>(answer, smallest[lane]);
  return answer;
}

}  // namespace detail

// The k-th largest, k = 1 the largest, of `length` values without NaN, a multiple of the register tile's columns; it
// lies in [lowest, highest]. Bisects the floats between them: at most as many passes as a float has bits.
template <class T>
T kth_largest(const T* values, std::int64_t length, std::int64_t k, T lowest, T highest) {
  using Unsigned = std::make_unsigned_t<Bits<T>>;
  Bits<T> low = detail::order_of(lowest), high = detail::order_of(highest);
  while (low < high) {  // at least k are from `low` on, fewer are above `high`
    const Unsigned width = static_cast<Unsigned>(high) - static_cast<Unsigned>(low);
    const Bits<T> middle = static_cast<Bits<T>>(static_cast<Unsigned>(low) + (width - width / 2));
    const T value = detail::value_at<T>(middle);
    const std::int64_t count = detail::count_from(values, length, value);
    if (count == k) return detail::smallest_from(values, length, value);
    if (count > k)
      low = middle;
    else
      high = middle - 1;
  }
  return detail::value_at<T>(low);
}

}  // namespace GRAMLESS_ISA
}  // namespace gramless
