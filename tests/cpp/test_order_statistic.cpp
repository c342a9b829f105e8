// The k-th largest by counting, against a sort.
#include "reductions/order_statistic.hpp"

#include <algorithm>
#include <cmath>
#include <functional>

#include "check.hpp"
#include "matrices.hpp"

namespace gramless {
inline namespace GRAMLESS_ISA {
namespace {

// Whole register tiles of values, -inf behind them.
template <class T>
void every_rank_is_that_of_a_sort(std::vector<T> values) {
  std::vector<T> sorted = values;
  std::sort(sorted.begin(), sorted.end(), std::greater<T>());
  const auto length = round_up(static_cast<std::int64_t>(values.size()), TileShape<T>::micro_cols);
  values.resize(static_cast<std::size_t>(length), -std::numeric_limits<T>::infinity());
  for (std::size_t k = 1; k <= sorted.size(); k++) {
    const T found = kth_largest(values.data(), length, static_cast<std::int64_t>(k), sorted.back(), sorted.front());
    CHECK(found == sorted[k - 1]);
  }
}

template <class T>
void check_ranks() {
  const T infinity = std::numeric_limits<T>::infinity(), tiny = std::numeric_limits<T>::denorm_min(),
          huge = std::numeric_limits<T>::max();
  every_rank_is_that_of_a_sort<T>(testing::random_values<T>(211, 1));
  every_rank_is_that_of_a_sort<T>({T(0.25)});
  every_rank_is_that_of_a_sort<T>(std::vector<T>(100, T(-3)));
  every_rank_is_that_of_a_sort<T>({T(0), -T(0), tiny, -tiny, T(0), huge, -huge, T(1), std::nextafter(T(1), huge)});
  every_rank_is_that_of_a_sort<T>({infinity, -infinity, T(2), T(2), infinity, -infinity, T(-2)});
}

TEST(the_kth_largest_is_that_of_a_sort) {
  check_ranks<float>();
  check_ranks<double>();
}

}  // namespace
}  // namespace GRAMLESS_ISA
}  // namespace gramless
