// Sums over rows in float64, in eight independent chains of additions.
#pragma once

#include <cstdint>
#include <numeric>
#include <span>

namespace gramless {

namespace detail {
constexpr int chains = 8;
}

// sum_i term(i) for i in [0, count).
template <class Term>
double chained_sum(std::int64_t count, Term term) {
  double sums[detail::chains] = {};
  std::int64_t i = 0;
  for (; i + detail::chains <= count; i += detail::chains)
#pragma GCC unroll 8
    for (int c = 0; c < detail::chains; c++) sums[c] += term(i + c);
  double sum = std::accumulate(sums, sums + detail::chains, 0.0);
  for (; i < count; i++) sum += term(i);
  return sum;
}

inline double chained_sum(std::span<const double> values) {
  return chained_sum(static_cast<std::int64_t>(values.size()),
                     [&](std::int64_t i) { return values[static_cast<std::size_t>(i)]; });
}

// The largest of nonnegative numbers, ignoring NaN.
inline double largest_of(std::span<const double> values) {
  double largest[detail::chains] = {};
  std::size_t i = 0;
  for (; i + detail::chains <= values.size(); i += detail::chains)
#pragma GCC unroll 8
    for (std::size_t c = 0; c < detail::chains; c++)
      largest[c] = values[i + c] > largest[c] ? values[i + c] : largest[c];
  for (; i < values.size(); i++) largest[0] = values[i] > largest[0] ? values[i] : largest[0];
  for (const double value : largest) largest[0] = value > largest[0] ? value : largest[0];
  return largest[0];
}

}  // namespace gramless
