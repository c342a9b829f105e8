// Reduction to a histogram over the bits of nonnegative floats: exact order statistics from counts alone.
#pragma once

#include <bit>

#include "engine/tile/tile.hpp"

namespace gramless {
inline namespace GRAMLESS_ISA {

// Counts are integers, so threads may count separately and add up in any order.
template <class T>
struct BitHistogram {
  using Pattern = Bits<T>;  // of a nonnegative float: never negative, and ordered as the float is

  Pattern first = 0, last = 0;  // bits of the first and of the last distance that has a bin
  int shift = 0;
  std::uint64_t* counts = nullptr;
  std::uint64_t below = 0, nans = 0;

  // Counts the lanes set in `owned`.
  GRAMLESS_INLINE void add(Vector<T> distances, Vector<Pattern> owned) {
    const auto bits = reinterpret_cast<Vector<Pattern>>(distances);
    const Vector<Pattern> nan = (distances != distances) & owned;
    const Vector<Pattern> less = (bits < first) & owned & ~nan;
    const Vector<Pattern> inside = (bits >= first) & (bits <= last) & owned & ~nan;
    below_lanes_ -= less;  // a true lane is -1
    nan_lanes_ -= nan;
    if (!any(inside)) return;
    for (int lane = 0; lane < lanes<T>; lane++)
      if (inside[lane]) counts[(bits[lane] - first) >> shift]++;
  }

  // Lane counters would overflow after 2^31 entries: once a tile is often enough.
  void end_tile() {
    for (int lane = 0; lane < lanes<T>; lane++) {
      below += static_cast<std::uint64_t>(below_lanes_[lane]);
      nans += static_cast<std::uint64_t>(nan_lanes_[lane]);
    }
    below_lanes_ = Vector<Pattern>{};
    nan_lanes_ = Vector<Pattern>{};
  }

 private:
  GRAMLESS_INLINE static bool any(Vector<Pattern> mask) {
    Pattern some = 0;
    for (int lane = 0; lane < lanes<T>; lane++) some |= mask[lane];
    return some != 0;
  }

  Vector<Pattern> below_lanes_{}, nan_lanes_{};
};

}  // namespace GRAMLESS_ISA
}  // namespace gramless
