// Order statistics, against sorting.
#include "ops/median/ranked_values.hpp"

#include <random>

#include "check.hpp"

namespace gramless {
namespace {

template <class T>
void check_ranks(std::vector<T> values) {
  std::vector<T> sorted = values;
  std::sort(sorted.begin(), sorted.end());
  RankedValues<T> ranked{std::span<const T>(values)};
  const std::size_t size = values.size();
  for (const std::size_t rank :
       {size / 2, size / 2 + 1, size / 2 - 1, size - 1, std::size_t{0}, size / 3, size / 3 + 1})
    if (rank < size) CHECK(ranked.at(rank) == sorted[rank]);
}

TEST(ranks_are_those_of_sorted_values) {
  std::mt19937 random(1);
  for (const std::size_t size : {1, 2, 3, 100, 2049, 5000, 300000}) {
    std::vector<float> values(size);
    std::lognormal_distribution<float> spread(0, 3);
    for (float& value : values) value = spread(random);
    check_ranks(values);
    std::sort(values.begin(), values.end());
    check_ranks(values);
    for (std::size_t i = 0; i < size; i++) values[i] = static_cast<float>(i % 3);  // ties
    check_ranks(values);
    // An order in which evenly spaced samples mislead.
    for (std::size_t i = 0; i < size; i++) values[i] = i * 512 / size != (i + size - 1) * 512 / size ? 0.0f : 1.0f;
    check_ranks(std::vector<double>(values.begin(), values.end()));
    for (std::size_t s = 0; s < 512; s++) values[s * size / 512] = 2;
    check_ranks(values);
    values[size / 2] = std::numeric_limits<float>::infinity();
    check_ranks(values);
  }
}

}  // namespace
}  // namespace gramless
