#include "ops/hsic/far_rows.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "ops/hsic/chained_sum.hpp"

namespace gramless {
namespace {

constexpr double far = 3;  // times the median of squared distances: three rows about their mean have 4 and 1

double upper_median(std::span<const double> values) {
  std::vector<double> copy(values.begin(), values.end());
  const auto middle = copy.begin() + static_cast<std::ptrdiff_t>(copy.size() / 2);
  std::nth_element(copy.begin(), middle, copy.end());
  return *middle;
}

}  // namespace

std::vector<std::int64_t> rows_near(std::span<const double> norms) {
  const double n = static_cast<double>(norms.size());
  const double sum = chained_sum(norms), largest = largest_of(norms);
  // The largest is no more than n / far of the mean where its row is to be far: most data ends here.
  if (!std::isfinite(sum) || largest <= std::min(4.0, n / 2) * sum / n) return {};
  const double limit = far * upper_median(norms);
  double lengths = 0;
  std::vector<std::int64_t> near;
  for (std::size_t i = 0; i < norms.size(); i++)
    if (norms[i] <= limit)
      near.push_back(static_cast<std::int64_t>(i));
    else
      lengths += std::sqrt(norms[i]);
  const bool moved = (lengths / n) * (lengths / n) > limit / far / 4;  // no further than this by the rows far away
  return moved ? near : std::vector<std::int64_t>();
}

std::vector<std::int64_t> rows_apart(std::span<const double> norms, std::int64_t features) {
  constexpr std::ptrdiff_t most = 64;
  constexpr double longest = 16;  // times the mean of shorter rows: those of data without outliers stay together
  const double n = static_cast<double>(norms.size()), twice = 2 * static_cast<double>(features);
  const double sum = chained_sum(norms), largest = largest_of(norms);
  if (!std::isfinite(sum) || largest <= sum / twice || largest <= 4 * sum / n) return {};
  std::vector<std::int64_t> rows(norms.size());
  std::iota(rows.begin(), rows.end(), std::int64_t{0});
  const auto norm2 = [&](std::int64_t row) { return norms[static_cast<std::size_t>(row)]; };
  std::sort(rows.begin(), rows.end(),
            [&](std::int64_t a, std::int64_t b) { return std::pair(norm2(a), a) < std::pair(norm2(b), b); });
  double shorter = 0, count = 0;
  for (auto row = rows.begin(); row != rows.end(); shorter += norm2(*row++), count++) {
    if (count < n / 2 || norm2(*row) <= shorter / twice || norm2(*row) <= longest * shorter / count) continue;
    return {std::max(row, rows.end() - most), rows.end()};
  }
  return {};
}

}  // namespace gramless
