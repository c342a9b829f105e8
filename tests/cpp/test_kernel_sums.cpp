// Dot products become kernel values in place, with their row and column sums.
#include "reductions/kernel_sums.hpp"

#include <algorithm>
#include <cmath>

#include "abandoned.hpp"
#include "check.hpp"
#include "engine/product/dot_tile.hpp"
#include "epilogues/tile_kernels.hpp"
#include "matrices.hpp"
#include "ops/gram/near_distances.hpp"

namespace gramless {
inline namespace GRAMLESS_ISA {
namespace {

constexpr std::size_t stats_length = most_tile_rows(4) + 64;

// One tile of dot products, with arbitrary numbers outside, and the results of KernelSums.
template <class T>
struct Applied {
  Applied(int rows_, int cols_, bool diagonal_, std::vector<T> stats_)
      : rows(rows_), cols(cols_), diagonal(diagonal_), stride(tile_stride<T>(cols_)), stats(std::move(stats_)) {
    dots = testing::random_integers<T>(static_cast<std::size_t>(tile_values<T>(rows, cols)), 3);
    for (int i = 0; i < rows; i++)
      for (int j = 0; j < stride; j++)
        if (!owns(i, j)) dots[at(i, j)] = std::numeric_limits<T>::quiet_NaN();  // must not enter any sum
    values = dots;
  }

  template <class Kernel>
  void apply(const Kernel& kernel) {
    row_sums.assign(static_cast<std::size_t>(rows), 99);
    column_sums.assign(static_cast<std::size_t>(cols), 99);
    using Shape = TileShape<T>;
    const Tile<T> tile{values.data(), rows, cols, stride, diagonal};
    KernelSums sums(tile, kernel, stats.data(), stats.data());
    for (int j = 0; j < cols; j += Shape::micro_cols)
      for (int i = 0; i < (diagonal ? std::min(rows, j + Shape::micro_cols) : rows); i += Shape::micro_rows) sums(i, j);
    sums.finish(row_sums.data(), column_sums.data());
  }

  bool owns(int i, int j) const { return j < cols && (!diagonal || j > i); }
  std::size_t at(int i, int j) const { return static_cast<std::size_t>(i * stride + j); }

  const int rows, cols;
  const bool diagonal;
  const int stride;
  const std::vector<T> stats;
  std::vector<T> dots, values;
  std::vector<double> row_sums, column_sums;
};

// Integers, so that sums in any order are exact.
template <class T>
void check_linear(int rows, int cols, bool diagonal) {
  Applied<T> tile(rows, cols, diagonal, std::vector<T>(stats_length));
  tile.apply(on_tiles<T>(Linear{}, 2.0));
  std::vector<double> row_sums(static_cast<std::size_t>(rows)), column_sums(static_cast<std::size_t>(cols));
  for (int i = 0; i < rows; i++)
    for (int j = 0; j < tile.stride; j++) {
      const T expected = tile.owns(i, j) ? tile.dots[tile.at(i, j)] - 2 : T(0);
      CHECK(tile.values[tile.at(i, j)] == expected);
      row_sums[static_cast<std::size_t>(i)] += static_cast<double>(expected);
      if (j < cols) column_sums[static_cast<std::size_t>(j)] += static_cast<double>(expected);
    }
  CHECK(tile.row_sums == row_sums);
  CHECK(tile.column_sums == column_sums);
}

template <class T>
std::vector<int> sizes() {
  return {1, 2, lanes<T> - 1, lanes<T>, lanes<T> + 1, 3 * lanes<T> + 1, TileShape<T>::rows - 1, TileShape<T>::rows};
}

TEST(linear_values_and_sums_are_exact_for_integers) {
  const auto check = []<class T>(T) {
    for (const int rows : sizes<T>()) {
      if (rows == 0) continue;
      check_linear<T>(rows, rows, true);
      for (const int cols : sizes<T>())
        if (cols > 0) check_linear<T>(rows, cols, false);
    }
  };
  check(float());
  check(double());
}

// The same formula without vectors, in Number.
template <class Number, class T>
Number naive_rbf(const Applied<T>& tile, double gamma, double shift, int i, int j) {
  const auto stat = [&](int row) { return static_cast<Number>(tile.stats[static_cast<std::size_t>(row)]); };
  const Number half = stat(i) + stat(j) - static_cast<Number>(tile.dots[tile.at(i, j)]);
  return std::exp(static_cast<Number>(-2 * gamma) * (half > 0 ? half : Number(0))) - static_cast<Number>(shift);
}

// Our largest error is at most twice that of the same formula in the same type, plus an ulp of 1.
template <class T, bool Clamped>
void check_rbf(int rows, int cols, bool diagonal) {
  constexpr double gamma = 0.0625, shift = 0.25;
  std::vector<T> stats = testing::random_values<T>(stats_length, 4);
  for (T& stat : stats) stat = std::abs(stat) + (Clamped ? T(0.5) : T(8));  // dot products reach 7
  Applied<T> tile(rows, cols, diagonal, stats);
  tile.apply(on_tiles<T, Clamped>(Rbf{gamma}, shift));
  double ours = 0, naive = 0;
  for (int i = 0; i < rows; i++)
    for (int j = 0; j < tile.stride; j++) {
      const T value = tile.values[tile.at(i, j)];
      if (!tile.owns(i, j)) {
        CHECK(value == 0);
        continue;
      }
      const auto truth = naive_rbf<long double>(tile, gamma, shift, i, j);
      ours = std::max(ours, static_cast<double>(std::abs(value - truth)));
      naive = std::max(naive, static_cast<double>(std::abs(naive_rbf<T>(tile, gamma, shift, i, j) - truth)));
    }
  CHECK(ours <= 2 * naive + static_cast<double>(std::numeric_limits<T>::epsilon()));
}

TEST(rbf_values_are_as_accurate_as_the_formula_in_the_same_type) {
  const auto check = []<class T>(T) {
    for (const int rows : {1, lanes<T> + 1, 2 * lanes<T>, TileShape<T>::rows - 1}) {
      check_rbf<T, true>(rows, rows, true);
      check_rbf<T, true>(rows, TileShape<T>::rows, false);
      check_rbf<T, false>(rows, rows, true);
      check_rbf<T, false>(rows, TileShape<T>::rows, false);
    }
  };
  check(float());
  check(double());
}

// The same for tiles that hold distances.
template <class T>
void check_laplace(int rows, int cols, bool diagonal) {
  constexpr double rate = 0.5, shift = 0.25;
  Applied<T> tile(rows, cols, diagonal, std::vector<T>(stats_length));
  for (T& value : tile.values) value = std::abs(value);
  tile.dots = tile.values;
  tile.apply(on_tiles<T>(Laplace{rate}, shift));
  double ours = 0;
  for (int i = 0; i < rows; i++)
    for (int j = 0; j < tile.stride; j++) {
      const T value = tile.values[tile.at(i, j)];
      if (!tile.owns(i, j)) {
        CHECK(value == 0);
        continue;
      }
      const long double truth = std::exp(-rate * static_cast<long double>(tile.dots[tile.at(i, j)])) - shift;
      ours = std::max(ours, static_cast<double>(std::abs(value - truth)));
    }
  CHECK(ours <= 4 * static_cast<double>(std::numeric_limits<T>::epsilon()));
}

TEST(laplace_values_are_accurate) {
  const auto check = []<class T>(T) {
    for (const int rows : {1, lanes<T> + 1, TileShape<T>::rows - 1}) {
      check_laplace<T>(rows, rows, true);
      check_laplace<T>(rows, TileShape<T>::rows, false);
    }
  };
  check(float());
  check(double());
}

// Of integers, whose cubes are exact: the kernel less what depends on one of the two rows alone.
template <class T>
void check_polynomial(int rows, int cols, bool diagonal) {
  constexpr double shift = 5;
  Polynomial kernel;
  kernel.factor = 2;
  kernel.origin = -1;
  kernel.power = 1;
  Applied<T> tile(rows, cols, diagonal, testing::random_integers<T>(stats_length, 4));
  tile.apply(on_tiles<T>(kernel, shift));
  const auto cube = [](double x) { return x * x * x; };
  for (int i = 0; i < rows; i++)
    for (int j = 0; j < cols; j++) {
      if (!tile.owns(i, j)) continue;
      const double dot = static_cast<double>(tile.dots[tile.at(i, j)]);
      const double a = static_cast<double>(tile.stats[static_cast<std::size_t>(i)]);
      const double b = static_cast<double>(tile.stats[static_cast<std::size_t>(j)]);
      const double expected = (cube(2 * dot + a + b - 1) - cube(a - 1) - cube(b - 1) + cube(-1)) / 2;
      CHECK(static_cast<double>(tile.values[tile.at(i, j)]) == expected - shift);
      CHECK(kernel.value(dot, a, b) == expected);
    }
}

TEST(polynomials_of_integers_are_exact) {
  const auto check = []<class T>(T) {
    for (const int rows : {1, lanes<T> + 1, TileShape<T>::rows - 1}) {
      check_polynomial<T>(rows, rows, true);
      check_polynomial<T>(rows, TileShape<T>::rows, false);
    }
  };
  check(float());
  check(double());
}

// Rows of one feature: a and b, 1e-4 apart at 1 and far apart, equal, and one that is NaN.
TEST(distances_of_near_rows_keep_their_digits) {
  constexpr std::size_t columns = 40;  // more than those that are subtracted for every pair
  const std::vector<float> first{1.0f, 1.0001f, 1.0f, -3.0f, NAN};
  std::vector<float> x(5 * columns);
  for (std::size_t i = 0; i < 5; i++) x[i * columns] = first[i];
  ArrayView view;
  view.data = x.data();
  view.rows = 5;
  view.cols = columns;
  view.col_stride = sizeof(float);
  view.row_stride = columns * sizeof(float);
  const int stride = tile_stride<float>(5);
  std::vector<float> values(static_cast<std::size_t>(tile_values<float>(5, 5))), stats(stats_length);
  for (std::size_t i = 0; i < 5; i++) stats[i] = first[i] * first[i] / 2;
  for (std::size_t i = 0; i < 5; i++)
    for (std::size_t j = 0; j < 5; j++) values[i * static_cast<std::size_t>(stride) + j] = first[i] * first[j];
  measure_distances(view, 0, 0, Tile<float>{values.data(), 5, 5, stride, false}, stats.data(), stats.data());
  for (std::size_t i = 0; i < 5; i++)
    for (std::size_t j = 0; j < 5; j++) {
      const double found = static_cast<double>(values[i * static_cast<std::size_t>(stride) + j]);
      const double truth = std::abs(static_cast<double>(first[i]) - static_cast<double>(first[j]));
      CHECK(std::isnan(found) == std::isnan(truth));
      CHECK(std::isnan(truth) || std::abs(found - truth) <= 0x1p-15 * truth);
    }
}

TEST(rounding_cannot_lift_a_kernel_value_above_that_of_equal_rows) {
  Applied<float> tile(3, 5, false, std::vector<float>(stats_length));  // |a|^2 = 0 beside dot products up to 7
  tile.apply(on_tiles<float>(Rbf{0.5}, 0.0));
  for (int i = 0; i < 3; i++)
    for (int j = 0; j < 5; j++) CHECK(tile.values[tile.at(i, j)] <= 1);
}

template <class Kernel>
void check_nan_reaches_its_sums(const Kernel& kernel) {
  Applied<float> tile(20, 20, true, std::vector<float>(stats_length));
  tile.values[tile.at(4, 11)] = NAN;
  tile.apply(kernel);
  for (std::size_t i = 0; i < 20; i++) {
    CHECK(std::isnan(tile.row_sums[i]) == (i == 4));
    CHECK(std::isnan(tile.column_sums[i]) == (i == 11));
  }
}

TEST(a_nan_reaches_the_sums_of_its_row_and_column) {
  check_nan_reaches_its_sums(on_tiles<float>(Linear{}, 0.5));
  check_nan_reaches_its_sums(on_tiles<float>(Rbf{0.5}, 0.5));
  check_nan_reaches_its_sums(on_tiles<float>(Laplace{0.5}, 0.5));
  check_nan_reaches_its_sums(on_tiles<float>(Polynomial{.factor = 0.5}, 0.5));
}

// The distances of two equal rows of ones, whose dot products are given as `dot`.
std::vector<float> abandoned_distances(std::int64_t columns, float dot) {
  const float one = 1;
  ArrayView view;
  view.data = &one;
  view.rows = 2;
  view.cols = columns;
  const int stride = tile_stride<float>(2);
  const std::vector<float> stats(stats_length, static_cast<float>(columns) / 2);
  std::vector<float> values(static_cast<std::size_t>(tile_values<float>(2, 2)), dot);
  testing::run_abandoned([&] {
    measure_distances(view, 0, 0, Tile<float>{values.data(), 2, 2, stride, false}, stats.data(), stats.data());
  });
  return {values[0], values[1], values[static_cast<std::size_t>(stride)], values[static_cast<std::size_t>(stride) + 1]};
}

TEST(distances_end_early_in_an_abandoned_walk) {
  CHECK(abandoned_distances(64, 0.0f) == std::vector<float>{std::sqrt(128.0f), std::sqrt(128.0f), 0, 0});
  CHECK(abandoned_distances(4096, 4095.0f) == std::vector<float>{1, 1, 4095, 4095});  // near, before their roots
}

}  // namespace
}  // namespace GRAMLESS_ISA
}  // namespace gramless
