// Seeded samples of rows and pairs.
#include "ops/median/sampling.hpp"

#include <algorithm>
#include <set>

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

TEST(sampled_groups_share_no_rows_but_the_first) {
  for (const std::int64_t n : {33, 40, 1000})
    for (const std::int64_t first : {-1, 5}) {
      const std::int64_t subsets = first < 0 ? 4 : 2;
      const auto pairs = sample_subsets(n, subsets, first);
      CHECK(static_cast<std::int64_t>(pairs.size()) == 2 * subsets * subset_pairs);
      std::set<std::int64_t> all;
      for (std::size_t p = 0; p < pairs.size(); p += 2 * subset_pairs) {
        const auto begin = pairs.begin() + static_cast<std::ptrdiff_t>(p);
        const std::set<std::int64_t> rows(begin, begin + 2 * subset_pairs);
        CHECK(static_cast<std::int64_t>(rows.size()) == subset_rows);
        CHECK(first < 0 || *begin == first);
        CHECK(*rows.begin() >= 0 && *rows.rbegin() < n);
        all.insert(rows.begin(), rows.end());
      }
      CHECK(static_cast<std::int64_t>(all.size()) == subsets * subset_rows - (first < 0 ? 0 : subsets - 1));
    }
}

TEST(a_group_of_fewer_rows_is_all_of_them) {
  CHECK(sample_subsets(4, 1, -1).size() == 2 * 6);
  CHECK(sample_subsets(2, 1, -1).size() == 2);
}

TEST(samples_are_the_same_every_time) {
  CHECK(sample_subsets(1000, 9, -1) == sample_subsets(1000, 9, -1));
  CHECK(sample_rows(1000, 100) == sample_rows(1000, 100));
  CHECK(sample_pairs(1000, 100) == sample_pairs(1000, 100));
}

}  // namespace
}  // namespace gramless
