#include "ops/hsic/far_rows.hpp"

#include <algorithm>
#include <cmath>

#include "ops/hsic/chained_sum.hpp"

namespace gramless {
namespace {

constexpr double far = 3;  // times the median of squared distances: two equal rows and another one have 1 and 4

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
  // Most data returns here: a row far away makes the largest at least such a multiple of the mean.
  if (!std::isfinite(sum) || largest <= std::min(4.0, n / 2) * sum / n) return {};
  const double limit = far * upper_median(norms);
  double lengths = 0;
  std::vector<std::int64_t> near;
  for (std::size_t i = 0; i < norms.size(); i++)
    if (norms[i] <= limit)
      near.push_back(static_cast<std::int64_t>(i));
    else
      lengths += std::sqrt(norms[i]);
  const bool moved = (lengths / n) * (lengths / n) > limit / far / 4;  // how far these rows move the mean
  return moved ? near : std::vector<std::int64_t>();
}

std::optional<double> norms_beside_rows_apart(std::span<const double> norms, std::int64_t features) {
  constexpr double longest = 16;  // times the mean of shorter rows: those of data without outliers stay together
  const double n = static_cast<double>(norms.size()), twice = 2 * static_cast<double>(features);
  const double sum = chained_sum(norms), largest = largest_of(norms);
  if (!std::isfinite(sum) || largest <= sum / twice || largest <= 4 * sum / n) return {};
  std::vector<double> by_length(norms.begin(), norms.end());
  std::sort(by_length.begin(), by_length.end());
  double shorter = 0, count = 0;
  for (const double norm2 : by_length) {
    if (count >= n / 2 && norm2 > shorter / twice && norm2 > longest * shorter / count) return shorter;
    shorter += norm2;
    count++;
  }
  return {};
}

}  // namespace gramless
