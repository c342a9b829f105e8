// Reduction to the values of an interval: how many lie below it, and those inside, in no fixed order.
#pragma once

#include <bit>
#include <limits>

#include "engine/tile/tile.hpp"

namespace gramless {
inline namespace GRAMLESS_ISA {

// The memory for the values of all threads. Beyond `capacity` they are only counted.
template <class T>
struct ValuesInside {
  T* values = nullptr;
  std::uint64_t capacity = 0;
  std::uint64_t* count = nullptr;

  void add(const T* given, int given_count) const {
    const auto size = static_cast<std::uint64_t>(given_count);
    // Relaxed: the order of the threads' values does not matter, and the walk's lock orders the reads at the end.
    const std::uint64_t at = __atomic_fetch_add(count, size, __ATOMIC_RELAXED);
    if (at < capacity) std::copy_n(given, std::min(size, capacity - at), values + at);
  }
};

// Values are nonnegative or NaN. Their bits are ordered as they are.
template <class T>
struct CollectedValues {
  using Pattern = Bits<T>;
  static constexpr int waiting = 8192;  // values of a thread before they are copied to those of all

  Pattern first = 0, last = 0;  // bits of the first and of the last value inside
  std::uint64_t below = 0;
  std::uint64_t nans = 0;  // 0 where there is none
  T* own = nullptr;        // (waiting)
  int count = 0;           // of those in `own`
  ValuesInside<T> inside;

  // Stores the values inside the interval; there must be room for them.
  GRAMLESS_INLINE void add(Vector<T> values) {
    count_less<T>(below_lanes_, values, splat(std::bit_cast<T>(first)));
    sum_ += values;
    count += store_between<T>(own + count, values, first, last);
  }
  // Adds the lanes set in `owned`.
  GRAMLESS_INLINE void add(Vector<T> values, Vector<Pattern> owned) {
    const Vector<T> beyond = splat(std::numeric_limits<T>::infinity());
    sum_ += owned ? values : Vector<T>{};
    values = owned ? values : -beyond;  // neither inside nor, below, counted
    count_less<T>(below_lanes_, owned ? values : beyond, splat(std::bit_cast<T>(first)));
    count += store_between<T>(own + count, values, first, last);
  }

  // Must be called before `values` more are added.
  void make_room(int values) {
    if (count + values + lanes<T> <= waiting) return;
    flush();
  }
  void flush() {
    inside.add(own, count);
    count = 0;
  }

  // Lane counters would overflow after 2^31 entries: once a tile is often enough.
  void end_tile() {
    for (int lane = 0; lane < lanes<T>; lane++) {
      below += static_cast<std::uint64_t>(below_lanes_[lane]);
      nans += sum_[lane] != sum_[lane];
    }
    below_lanes_ = Vector<Pattern>{};
    sum_ = Vector<T>{};
  }

 private:
  Vector<Pattern> below_lanes_{};
  Vector<T> sum_{};  // NaN where a value was
};

}  // namespace GRAMLESS_ISA
}  // namespace gramless
