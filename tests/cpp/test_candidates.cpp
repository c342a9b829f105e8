// The most similar rows of a tile's rows and columns, against a sort.
#include <algorithm>
#include <array>

#include "check.hpp"
#include "matrices.hpp"
#include "reductions/add_candidates.hpp"

namespace gramless {
inline namespace GRAMLESS_ISA {
namespace {

// Heaps of one side, with `padding` behind its terms and limits as in blocks.
template <class T>
struct Side {
  Side(int rows, std::int64_t kept_rows, unsigned seed, std::int64_t first_row)
      : count(rows),
        kept(kept_rows),
        first(first_row),
        terms(testing::random_values<T>(static_cast<std::size_t>(rows), seed)) {
    constexpr T infinity = std::numeric_limits<T>::infinity();
    const auto padded = static_cast<std::size_t>(rows) + 64, entries = static_cast<std::size_t>(rows * kept);
    terms.resize(padded, -infinity);
    least.assign(static_cast<std::size_t>(rows), -infinity);
    least.resize(padded, infinity);
    similarities.assign(entries, -infinity);
    numbers.assign(entries, -1);
  }
  CandidateBlock<T> block() { return {first, terms.data(), least.data(), similarities.data(), numbers.data(), kept}; }
  // The candidates of one row, the most similar first.
  std::vector<std::int32_t> sorted(int row) {
    const auto at = static_cast<std::ptrdiff_t>(row * kept);
    RowHeap<T>{similarities.data() + at, numbers.data() + at, kept}.sort();
    return {numbers.begin() + at, numbers.begin() + at + kept};
  }

  int count;
  std::int64_t kept, first;
  std::vector<T> terms, least, similarities;
  std::vector<std::int32_t> numbers;
};

// The indices of the largest values; of equal values the smaller index.
template <class T>
std::vector<std::int32_t> largest(const std::vector<T>& values, std::int64_t kept, std::int64_t first) {
  std::vector<std::int32_t> numbers(values.size());
  for (std::size_t i = 0; i < values.size(); i++) numbers[i] = static_cast<std::int32_t>(i);
  std::stable_sort(numbers.begin(), numbers.end(), [&](std::int32_t a, std::int32_t b) {
    return values[static_cast<std::size_t>(a)] > values[static_cast<std::size_t>(b)];
  });
  numbers.resize(static_cast<std::size_t>(kept), -1);
  for (std::size_t i = 0; i < std::min(values.size(), numbers.size()); i++)
    numbers[i] += static_cast<std::int32_t>(first);
  return numbers;
}

template <class T>
void check_tile(int rows, int cols, std::int64_t kept, bool both) {
  Side<T> row(rows, kept, 1, 1000), column(cols, kept, 2, 5);
  const int stride = static_cast<int>(round_up(cols, TileShape<T>::micro_cols));
  std::vector<T> dots = testing::random_values<T>(static_cast<std::size_t>(rows) * static_cast<std::size_t>(stride), 3);
  const Tile<T> tile{dots.data(), rows, cols, stride, false};
  add_candidates(tile, row.block(), column.block(), both);
  for (int i = 0; i < rows; i++) {
    std::vector<T> similar;
    for (int j = 0; j < cols; j++) similar.push_back(tile.row(i)[j] + column.terms[static_cast<std::size_t>(j)]);
    CHECK(row.sorted(i) == largest(similar, kept, column.first));
  }
  for (int j = 0; j < cols; j++) {
    std::vector<T> similar;
    for (int i = 0; both && i < rows; i++) similar.push_back(tile.row(i)[j] + row.terms[static_cast<std::size_t>(i)]);
    CHECK(column.sorted(j) == largest(similar, kept, row.first));
  }
}

TEST(the_candidates_of_a_tile_are_those_of_a_sort) {
  for (const bool both : {false, true})
    for (const auto& [rows, cols, kept] : {std::array{1, 1, 1}, std::array{7, 33, 3}, std::array{40, 17, 23}}) {
      check_tile<float>(rows, cols, kept, both);
      check_tile<double>(rows, cols, kept, both);
    }
}

}  // namespace
}  // namespace GRAMLESS_ISA
}  // namespace gramless
