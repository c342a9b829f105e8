// Whole operations through this width's table and every table of this CPU, against the obvious n x n code.
#include "ops/hsic/hsic.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "check.hpp"
#include "matrices.hpp"
#include "naive_hsic.hpp"
#include "tables.hpp"
#include "workspace_limit.hpp"

namespace gramless {
inline namespace GRAMLESS_ISA {
namespace {

using testing::Matrix;

Execution execution(Dtype dtype, int threads) {
  return {dtype == Dtype::float64 ? Compute::float64 : Compute::float32, threads, {}};
}

struct Case {
  std::int64_t n;
  std::vector<std::int64_t> widths_x, widths_y;
};
const Case cases[] = {{4, {1}, {2}}, {33, {5, 40}, {3}}, {97, {9, 2, 30}, {}}, {193, {7}, {11, 300}}};

std::vector<Matrix> matrices(Dtype dtype, std::int64_t n, const std::vector<std::int64_t>& widths, unsigned seed) {
  std::vector<Matrix> made;
  for (const std::int64_t width : widths) made.emplace_back(dtype, n, width, seed++);
  return made;
}

std::vector<LayerInput> inputs(const std::vector<Matrix>& layers, const KernelSpec& kernel) {
  std::vector<LayerInput> made;
  for (const Matrix& layer : layers) made.push_back({layer.view(), kernel});
  return made;
}

// One problem with all its arguments, so that a check can run it with changes.
struct Problem {
  Problem(const Case& shape, Dtype dtype_, const KernelSpec& kernel_, Estimator estimator_)
      : dtype(dtype_),
        kernel(kernel_),
        estimator(estimator_),
        xs(matrices(dtype, shape.n, shape.widths_x, 1)),
        ys(matrices(dtype, shape.n, shape.widths_y, 50)) {}

  HsicValues run(const OpTable& ops, Space space, int threads) const {
    return hsic_values(inputs(xs, kernel), inputs(ys, kernel), estimator, space, ops, execution(dtype, threads));
  }

  Dtype dtype;
  KernelSpec kernel;
  Estimator estimator;
  std::vector<Matrix> xs, ys;
};

// The values of naive code, row by row of (xs, ys or xs).
template <class T>
std::vector<double> naive(const Problem& problem) {
  const auto grams = [&](const std::vector<Matrix>& layers) {
    std::vector<std::vector<T>> made;
    for (const Matrix& layer : layers) made.push_back(testing::naive_gram<T>(layer, problem.kernel.sigma.value_or(0)));
    return made;
  };
  const std::vector<std::vector<T>> ks = grams(problem.xs), ls = grams(problem.ys);
  std::vector<double> values;
  for (const std::vector<T>& k : ks)
    for (const std::vector<T>& l : ls.empty() ? ks : ls)
      values.push_back(static_cast<double>(testing::naive_hsic(k, l, problem.estimator == Estimator::unbiased)));
  return values;
}

double largest_difference(const std::vector<double>& a, const std::vector<double>& b) {
  double largest = 0;
  for (std::size_t i = 0; i < a.size(); i++) largest = std::max(largest, std::abs(a[i] - b[i]));
  return largest;
}

// error(ours) <= 2 error(naive in the same type) + a few ulps of the terms' size
void check_against_naive(const Problem& problem, const std::vector<Space>& spaces) {
  const bool in_float64 = problem.dtype == Dtype::float64;
  const std::vector<double> truth = naive<long double>(problem);
  const double theirs = largest_difference(in_float64 ? naive<double>(problem) : naive<float>(problem), truth);
  const double epsilon = in_float64 ? 2.2e-16 : 1.2e-7;
  for (const Space space : spaces)
    for (const OpTable* ops : tables()) {
      const HsicValues values = problem.run(*ops, space, 2);
      const std::vector<double>& selves_y = problem.ys.empty() ? values.xx : values.yy;
      const double size = std::sqrt(*std::max_element(values.xx.begin(), values.xx.end()) *
                                    *std::max_element(selves_y.begin(), selves_y.end()));
      CHECK(largest_difference(values.xy, truth) <= 2 * theirs + 8 * epsilon * size);
    }
}

KernelSpec linear() { return {}; }
KernelSpec rbf(double sigma) {
  KernelSpec kernel;
  kernel.formula = Rbf{};
  kernel.sigma = sigma;
  return kernel;
}

TEST(hsic_of_every_kernel_space_and_estimator_is_as_accurate_as_naive_code) {
  for (const Case& shape : cases)
    for (const Dtype dtype : {Dtype::float32, Dtype::float64, Dtype::int8})
      for (const Estimator estimator : {Estimator::biased, Estimator::unbiased}) {
        check_against_naive(Problem(shape, dtype, linear(), estimator), {Space::gram, Space::features});
        check_against_naive(Problem(shape, dtype, rbf(6), estimator), {Space::gram});
      }
}

bool same(const HsicValues& a, const HsicValues& b) {
  return a.xy == b.xy && a.xx == b.xx && a.yy == b.yy && a.mean_x == b.mean_x && a.diagonal_y == b.diagonal_y;
}

TEST(hsic_is_the_same_bits_for_any_number_of_threads) {
  KernelSpec median;
  median.formula = Rbf{};
  for (const KernelSpec& kernel : {linear(), median})
    for (const Space space : {Space::gram, Space::features}) {
      const Problem problem({800, {30, 4}, {17}}, Dtype::float32, kernel, Estimator::unbiased);
      for (const OpTable* ops : tables()) {
        const HsicValues alone = problem.run(*ops, space, 1);
        for (const int threads : {2, 3, 7}) CHECK(same(problem.run(*ops, space, threads), alone));
      }
    }
}

TEST(columns_have_the_same_sums_among_many_and_among_few) {
  constexpr std::int64_t n = 600, many = 33000, few = 10;
  const Matrix x(Dtype::float32, n, many, 3);
  for (const OpTable* ops : tables())
    for (const int threads : {1, 3}) {
      std::vector<double> all(many, 7), part(few);
      ops->column_sums(x.view(), execution(Dtype::float32, threads), all.data());
      for (const std::int64_t first : {std::int64_t{0}, std::int64_t{4090}, many - few}) {
        ArrayView columns = x.view();
        columns.data = static_cast<const char*>(columns.data) + first * columns.col_stride;
        columns.cols = few;
        ops->column_sums(columns, execution(Dtype::float32, threads), part.data());
        CHECK(std::equal(part.begin(), part.end(), all.begin() + first));
      }
    }
}

TEST(the_median_is_that_of_all_sorted_distances) {
  for (const std::int64_t n : {2, 3, 30, 193, 700})
    for (const Dtype dtype : {Dtype::float32, Dtype::float64})
      for (const bool include_diagonal : {false, true}) {
        const Matrix x(dtype, n, 6);
        const double expected = testing::naive_median(x, include_diagonal);
        for (const OpTable* ops : tables()) {
          const Execution how = execution(dtype, 2);
          const double ours = Representation(x.view(), *ops, how).median_distance(include_diagonal, std::nullopt, how);
          const double epsilon = dtype == Dtype::float64 ? 1e-15 : 6e-7;
          CHECK(std::abs(ours * ours - expected) <= 8 * epsilon * (expected + 200));
        }
      }
}

// Counts of a table's calls.
struct Passes {
  int multiplied = 0, read = 0, layers_known = 0;  // passes over distances, with products or without; layers of sums
};
Passes passes;
const OpTable* watched = nullptr;

void add(const DistancePass& pass) { (pass.dots_known ? passes.read : passes.multiplied)++; }

// The table, with its passes counted.
OpTable watch(const OpTable& ops) {
  watched = &ops;
  passes = {};
  OpTable table = ops;
  table.count_distances = [](const DistanceCountsTask& task, const Execution& how) {
    add(task.pass);
    watched->count_distances(task, how);
  };
  table.collect_distances = [](const CollectDistancesTask& task, const Execution& how) {
    add(task.pass);
    watched->collect_distances(task, how);
  };
  table.gram_sums = [](const GramSumsTask& task, const Execution& how) {
    for (std::int64_t l = 0; l < task.layers_x + task.layers_y; l++)
      passes.layers_known += task.layers[l].dots != nullptr;
    watched->gram_sums(task, how);
  };
  return table;
}

TEST(dot_products_of_a_median_are_read_again_where_they_fit) {
  KernelSpec median;
  median.formula = Rbf{};
  for (const std::int64_t n : {40, 193, 700})
    for (const Dtype dtype : {Dtype::float32, Dtype::float64}) {
      const Problem problem({n, {300, 40}, {200}}, dtype, median, Estimator::unbiased);
      for (const OpTable* ops : tables()) {
        const std::size_t bytes = ops->layer_dots_bytes(n, execution(dtype, 1).compute);
        const int kept = bytes == 0 ? 0 : 1;  // for each layer for which there is memory
        const auto run = [&](std::size_t limit) {
          const Limit of_test(limit);
          return problem.run(watch(*ops), Space::gram, 2);
        };
        const HsicValues anew = run(0);
        CHECK(passes.multiplied == 3 && passes.read == 0 && passes.layers_known == 0);
        for (const int layers : {1, 2, 3}) {
          CHECK(same(run(static_cast<std::size_t>(layers) * bytes + 63), anew));
          CHECK(passes.multiplied == 3 && passes.read == 0 && passes.layers_known == layers * kept);
        }
      }
    }
}

TEST(ties_among_the_middle_distances_are_counted_without_another_product) {
  KernelSpec median;
  median.formula = Rbf{};
  const Problem problem({1200, {1}, {2}}, Dtype::int8, median, Estimator::biased);  // whole numbers from -6 to 7
  for (const OpTable* ops : tables()) {
    const HsicValues kept = problem.run(watch(*ops), Space::gram, 2);
    if (ops->layer_dots_bytes(1200, Compute::float32) > 0) CHECK(passes.multiplied == 2);
    const Limit none(0);
    CHECK(same(problem.run(*ops, Space::gram, 2), kept));
  }
}
TEST(permuted_hsic_is_hsic_of_reordered_rows) {
  constexpr std::int64_t n = 60;
  const Matrix x(Dtype::float64, n, 5, 1);
  const std::vector<long double> gram_x = testing::naive_gram<long double>(x, 5.0);
  Matrix y(Dtype::float64, n, 9, 2);
  std::vector<std::int64_t> orders;
  for (const std::int64_t step : {1, 7, 11})
    for (std::int64_t i = 0; i < n; i++) orders.push_back((i * step + 3) % n);
  for (const OpTable* ops : tables()) {
    const auto values = permuted_hsic({x.view(), rbf(5)}, {Matrix(Dtype::float64, n, 9, 2).view(), rbf(5)}, orders,
                                      Estimator::unbiased, *ops, execution(Dtype::float64, 2));
    CHECK(values.size() == 3);
    for (std::size_t p = 0; p < values.size(); p++) {
      const auto first = orders.begin() + static_cast<std::ptrdiff_t>(p) * n;
      y.reorder({first, first + n});
      const long double expected = testing::naive_hsic(gram_x, testing::naive_gram<long double>(y, 5.0), true);
      CHECK(std::abs(values[p] - static_cast<double>(expected)) < 1e-14);
    }
  }
}

}  // namespace
}  // namespace GRAMLESS_ISA
}  // namespace gramless
