// Seeded samples of rows and pairs.
#include "ops/median/sampling.hpp"

#include <algorithm>

#include "check.hpp"

namespace gramless {
namespace {

TEST(sampled_rows_are_distinct_ascending_and_as_many_as_wanted) {
  for (const std::int64_t n : {1, 2, 7, 1000})
    for (const std::int64_t count : {std::int64_t{0}, std::int64_t{1}, n / 2, n}) {
      const auto rows = sample_rows(n, count);
      CHECK(static_cast<std::int64_t>(rows.size()) == count);
      CHECK(std::adjacent_find(rows.begin(), rows.end(), std::greater_equal<>()) == rows.end());
      CHECK(std::all_of(rows.begin(), rows.end(), [&](std::int64_t row) { return row >= 0 && row < n; }));
    }
}

TEST(sampled_pairs_are_two_different_rows) {
  for (const std::int64_t n : {2, 3, 1000}) {
    const auto pairs = sample_pairs(n, 500);
    CHECK(pairs.size() == 1000);
    for (std::size_t p = 0; p < pairs.size(); p += 2) {
      CHECK(pairs[p] != pairs[p + 1]);
      CHECK(std::min(pairs[p], pairs[p + 1]) >= 0 && std::max(pairs[p], pairs[p + 1]) < n);
    }
  }
}

TEST(every_row_is_sampled_about_equally_often) {
  constexpr std::int64_t n = 10, count = 20000;
  std::int64_t seen[n] = {};
  for (const std::int64_t row : sample_pairs(n, count)) seen[row]++;
  for (const std::int64_t times : seen) CHECK(std::abs(times - 2 * count / n) < 5 * 64);  // five standard deviations
}

TEST(samples_are_the_same_every_time) {
  CHECK(sample_rows(1000, 100) == sample_rows(1000, 100));
  CHECK(sample_pairs(1000, 100) == sample_pairs(1000, 100));
}

}  // namespace
}  // namespace gramless
