// Counting floats by their bits, against counting them one by one.
#include "reductions/bit_histogram.hpp"

#include <cmath>

#include "check.hpp"
#include "matrices.hpp"

namespace gramless {
inline namespace GRAMLESS_ISA {
namespace {

template <class T>
Bits<T> bits_of(T value) {
  return std::bit_cast<Bits<T>>(value);
}

template <class T>
std::vector<T> distances(std::size_t count) {
  std::vector<T> values = testing::random_values<T>(count, 1);
  for (T& value : values) value = std::abs(value);
  values[3] = values[count - 2] = std::numeric_limits<T>::quiet_NaN();
  values[4] = 0;
  values[5] = std::numeric_limits<T>::infinity();
  return values;
}

template <class T>
void check_counts(T from, T to, int shift) {
  const auto size = static_cast<std::size_t>(40 * lanes<T>);
  const std::vector<T> values = distances<T>(size);
  const Bits<T> first = bits_of(from), last = bits_of(to);
  std::vector<std::uint64_t> counts(static_cast<std::size_t>((last - first) >> shift) + 1), expected(counts.size());
  BitHistogram<T> histogram;
  histogram.first = first;
  histogram.last = last;
  histogram.shift = shift;
  histogram.counts = counts.data();
  std::uint64_t below = 0, nans = 0;
  for (std::size_t start = 0; start < size; start += static_cast<std::size_t>(lanes<T>)) {
    const Vector<Bits<T>> owned = lane_numbers<T>() != static_cast<Bits<T>>(start / 8 % 3);
    histogram.add(load<Vector<T>>(values.data() + start), owned);
    for (int lane = 0; lane < lanes<T>; lane++) {
      const T value = values[start + static_cast<std::size_t>(lane)];
      if (!owned[lane]) continue;
      if (std::isnan(value))
        nans++;
      else if (value < from)
        below++;
      else if (value <= to)
        expected[static_cast<std::size_t>((bits_of(value) - first) >> shift)]++;
    }
    if (start % 5 == 0) histogram.end_tile();
  }
  histogram.end_tile();
  CHECK(counts == expected);
  CHECK(histogram.below == below);
  CHECK(histogram.nans == nans);
}

template <class T>
void check_ranges() {
  const int whole = sizeof(T) == 4 ? 16 : 44;
  check_counts<T>(0, std::numeric_limits<T>::infinity(), whole);
  check_counts<T>(T(0.5), T(1.25), whole);
  check_counts<T>(T(0.5), T(1.25), whole - 3);
  check_counts<T>(1, std::nextafter(T(1), T(2)), 0);
}

TEST(counts_are_those_of_counting_one_by_one) {
  check_ranges<float>();
  check_ranges<double>();
}

}  // namespace
}  // namespace GRAMLESS_ISA
}  // namespace gramless
