#include "ops/median/sampling.hpp"

#include <algorithm>

namespace gramless {
namespace {

// SplitMix64 (Steele, Lea, Flood 2014): one multiply-xor-shift chain per number, good for any seed.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}

  std::int64_t below(std::int64_t bound) {
    return static_cast<std::int64_t>((static_cast<unsigned __int128>(next()) * static_cast<std::uint64_t>(bound)) >>
                                     64);
  }

 private:
  std::uint64_t next() {
    state_ += 0x9e3779b97f4a7c15u;
    std::uint64_t z = state_;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }

  std::uint64_t state_;
};

constexpr std::uint64_t seed = 1337;

}  // namespace

std::vector<std::int64_t> sample_rows(std::int64_t n, std::int64_t count) {
  Random random(seed);
  std::vector<std::int64_t> rows;
  rows.reserve(static_cast<std::size_t>(count));
  for (std::int64_t row = 0; row < n && count > 0; row++) {  // Knuth's selection sampling
    if (random.below(n - row) >= count) continue;
    rows.push_back(row);
    count--;
  }
  return rows;
}

std::vector<std::int64_t> sample_pairs(std::int64_t n, std::int64_t count) {
  Random random(seed);
  std::vector<std::int64_t> pairs;
  pairs.reserve(static_cast<std::size_t>(2 * count));
  for (std::int64_t p = 0; p < count; p++) {
    const std::int64_t i = random.below(n), other = random.below(n - 1);
    pairs.push_back(i);
    pairs.push_back(other + (other >= i));
  }
  return pairs;
}

std::int64_t subsets_of(std::int64_t n) { return n <= 4 * subset_rows ? 1 : std::clamp<std::int64_t>(n / 20, 3, 10); }

std::vector<std::int64_t> sample_subsets(std::int64_t n, std::int64_t subsets, std::int64_t first) {
  Random random(seed);
  const auto size = static_cast<std::size_t>(std::min(n, subset_rows));
  std::vector<std::int64_t> rows, pairs(static_cast<std::size_t>(subsets) * size * (size - 1));
  rows.reserve(static_cast<std::size_t>(subsets) * size);
  for (auto next = pairs.begin(); next != pairs.end();) {
    const std::size_t begin = rows.size();
    if (first >= 0) rows.push_back(first);
    while (rows.size() < begin + size) {
      const std::int64_t row = random.below(n);
      if (std::find(rows.begin(), rows.end(), row) == rows.end()) rows.push_back(row);
    }
    for (std::size_t i = begin; i < rows.size(); i++)
      for (std::size_t j = i + 1; j < rows.size(); j++) {
        *next++ = rows[i];
        *next++ = rows[j];
      }
  }
  return pairs;
}

}  // namespace gramless
