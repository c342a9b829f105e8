// Order statistics of unsorted values: a sample of them gives a bracket that contains few values.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <span>
#include <vector>

namespace gramless {

// No value is NaN. Neighbouring ranks cost little more than one.
template <class T>
class RankedValues {
 public:
  RankedValues() = default;
  explicit RankedValues(std::span<const T> values) : values_(values) {}

  std::size_t size() const { return values_.size(); }

  // The value of that rank, 0 the smallest.
  T at(std::size_t rank) {
    if (rank < first_near_ || rank >= first_near_ + near_.size()) narrow(rank);
    const auto wanted = near_.begin() + static_cast<std::ptrdiff_t>(rank - first_near_);
    std::nth_element(near_.begin(), wanted, near_.end());
    return *wanted;
  }

 private:
  static constexpr std::size_t enough = 2048, sampled = 512;
  struct Bracket {
    T low, high;
  };

  // Leaves some values in near_, the one of `rank` among them.
  void narrow(std::size_t rank) {
    first_near_ = 0;
    std::vector<T> near;
    std::span<const T> from = values_;
    while (from.size() > enough) {
      const Bracket bracket = bracket_of(from, rank - first_near_);
      std::size_t below = 0;
      std::vector<T> inside = values_in(from, bracket, below);
      const bool missed = rank < first_near_ + below || rank >= first_near_ + below + inside.size();
      if (missed || inside.size() > from.size() / 2) break;  // the sample misleads, or there are ties
      first_near_ += below;
      near = std::move(inside);
      from = near;
    }
    if (near.empty()) near.assign(from.begin(), from.end());
    near_ = std::move(near);
  }

  // The bracket of the value of that rank: four standard errors of a sample's quantile.
  static Bracket bracket_of(std::span<const T> values, std::size_t rank) {
    std::vector<T> sample;
    sample.reserve(sampled);
    for (std::size_t s = 0; s < sampled; s++) sample.push_back(values[s * values.size() / sampled]);
    const double size = static_cast<double>(sampled);
    const double middle = size * static_cast<double>(rank) / static_cast<double>(values.size());
    const double error = 2 * std::sqrt(size);
    Bracket bracket{-std::numeric_limits<T>::infinity(), std::numeric_limits<T>::infinity()};
    const auto value_at = [&](double place) {
      const auto wanted = sample.begin() + static_cast<std::ptrdiff_t>(place);
      std::nth_element(sample.begin(), wanted, sample.end());
      return *wanted;
    };
    if (middle - error >= 0) bracket.low = value_at(middle - error);
    if (middle + error < size) bracket.high = value_at(middle + error);
    return bracket;
  }

  static std::vector<T> values_in(std::span<const T> values, const Bracket& bracket, std::size_t& below) {
    std::vector<T> inside(values.size());
    std::size_t kept = 0, smaller = 0;
    for (const T value : values) {  // no branch: half of them would be mispredicted
      smaller += value < bracket.low;
      inside[kept] = value;
      kept += (value >= bracket.low) & (value <= bracket.high);
    }
    below = smaller;
    inside.resize(kept);
    return inside;
  }

  std::span<const T> values_;
  std::vector<T> near_;
  std::size_t first_near_ = 0;
};

}  // namespace gramless
