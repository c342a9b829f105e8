// Values of an interval, against picking them one by one.
#include "reductions/collected_values.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

#include "check.hpp"
#include "matrices.hpp"

namespace gramless {
inline namespace GRAMLESS_ISA {
namespace {

template <class T>
std::vector<T> distances(std::size_t count) {
  std::vector<T> values = testing::random_values<T>(count, 1);
  for (T& value : values) value = std::abs(value);
  values[3] = std::numeric_limits<T>::quiet_NaN();
  values[count - 2] = -std::numeric_limits<T>::quiet_NaN();
  values[4] = 0;
  values[5] = std::numeric_limits<T>::infinity();
  return values;
}

// `capacity` values are stored, all are counted.
template <class T>
void check_collected(T from, T to, std::size_t capacity) {
  const auto size = static_cast<std::size_t>(1500 * lanes<T>);  // more than one thread holds before copying
  const std::vector<T> values = distances<T>(size);
  std::vector<T> own(CollectedValues<T>::waiting), collected(capacity + 1, T(-1)), expected;
  std::uint64_t inside = 0, below = 0, nans = 0;
  CollectedValues<T> reduction;
  reduction.first = std::bit_cast<Bits<T>>(from);
  reduction.last = std::bit_cast<Bits<T>>(to);
  reduction.own = own.data();
  reduction.inside = {collected.data(), capacity, &inside};
  for (std::size_t start = 0; start < size; start += static_cast<std::size_t>(lanes<T>)) {
    const bool all = start / 8 % 2 == 1;
    const Vector<Bits<T>> owned = lane_numbers<T>() != static_cast<Bits<T>>(start / 8 % 3);
    reduction.make_room(lanes<T>);
    if (all)
      reduction.add(load<Vector<T>>(values.data() + start));
    else
      reduction.add(load<Vector<T>>(values.data() + start), owned);
    for (int lane = 0; lane < lanes<T>; lane++) {
      const T value = values[start + static_cast<std::size_t>(lane)];
      if (!all && !owned[lane]) continue;
      nans += std::isnan(value);
      below += value < from;
      if (value >= from && value <= to) expected.push_back(value);
    }
    if (start % 5 == 0) reduction.end_tile();
  }
  reduction.end_tile();
  reduction.flush();
  CHECK(inside == expected.size());
  CHECK(reduction.below == below);
  CHECK((reduction.nans > 0) == (nans > 0));
  CHECK(collected.back() == T(-1));  // nothing beyond the capacity
  const std::size_t stored = std::min(capacity, expected.size());
  CHECK(std::equal(expected.begin(), expected.begin() + static_cast<std::ptrdiff_t>(stored), collected.begin()));
}

TEST(values_collected_are_those_of_picking_one_by_one) {
  const auto check = []<class T>(T) {
    check_collected<T>(0, std::numeric_limits<T>::infinity(), 100000);
    check_collected<T>(T(0.5), T(1.25), 100000);
    check_collected<T>(T(0.5), T(1.25), 100);
    check_collected<T>(T(3), std::numeric_limits<T>::infinity(), 10);
    check_collected<T>(1, std::nextafter(T(1), T(2)), 0);
  };
  check(float());
  check(double());
}

TEST(lanes_between_two_values_are_stored_side_by_side) {
  const auto check = []<class T>(T) {
    std::vector<T> values = distances<T>(static_cast<std::size_t>(8 * lanes<T>)), expected;
    values.push_back(T(0.5));
    values.push_back(T(1.25));
    values.resize(static_cast<std::size_t>(9 * lanes<T>), T(0.75));
    std::vector<T> stored(values.size() + static_cast<std::size_t>(lanes<T>));
    std::size_t count = 0;
    for (std::size_t start = 0; start < values.size(); start += static_cast<std::size_t>(lanes<T>))
      count +=
          static_cast<std::size_t>(store_between<T>(stored.data() + count, load<Vector<T>>(values.data() + start),
                                                    std::bit_cast<Bits<T>>(T(0.5)), std::bit_cast<Bits<T>>(T(1.25))));
    for (const T value : values)
      if (value >= T(0.5) && value <= T(1.25)) expected.push_back(value);
    stored.resize(count);
    CHECK(stored == expected);
  };
  check(float());
  check(double());
}

}  // namespace
}  // namespace GRAMLESS_ISA
}  // namespace gramless
