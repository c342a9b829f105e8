// Sums by folds of rows, and HSIC without each fold, against the obvious n x n code.
#include "ops/hsic/jackknife.hpp"

#include <cmath>
#include <numeric>

#include "check.hpp"
#include "matrices.hpp"
#include "naive_hsic.hpp"
#include "ops/gram/fold_blocks.hpp"
#include "tables.hpp"

namespace gramless {
inline namespace GRAMLESS_ISA {
namespace {

using testing::Matrix;

// Folds of one row, of none, and of more rows than a tile has.
constexpr std::int64_t n = 431;
const std::vector<std::int64_t> sizes{5, 211, 1, 0, 14, 200};

std::vector<std::int64_t> shuffled_rows() {
  std::vector<std::int64_t> order;
  for (std::int64_t i = 0; i < n; i++) order.push_back((i * 97 + 13) % n);
  return order;
}

// The fold of each row.
std::vector<std::size_t> fold_of_rows(const std::vector<std::int64_t>& order) {
  std::vector<std::size_t> own(static_cast<std::size_t>(n));
  auto row = order.begin();
  for (std::size_t g = 0; g < sizes.size(); g++)
    for (std::int64_t i = 0; i < sizes[g]; i++) own[static_cast<std::size_t>(*row++)] = g;
  return own;
}

KernelSpec rbf(double sigma) {
  KernelSpec kernel;
  kernel.formula = Rbf{};
  kernel.sigma = sigma;
  return kernel;
}

Execution execution(Dtype dtype, int threads) {
  return {dtype == Dtype::float64 ? Compute::float64 : Compute::float32, threads, {}};
}

template <class Number>
std::vector<Number> without(const std::vector<Number>& gram, const std::vector<std::size_t>& own, std::size_t fold) {
  std::vector<Number> left;
  for (std::size_t i = 0; i < own.size(); i++)
    for (std::size_t j = 0; j < own.size(); j++)
      if (own[i] != fold && own[j] != fold) left.push_back(gram[i * own.size() + j]);
  return left;
}

double largest_difference(const std::vector<double>& a, const std::vector<double>& b) {
  double largest = 0;
  for (std::size_t i = 0; i < a.size(); i++) largest = std::max(largest, std::abs(a[i] - b[i]));
  return largest;
}

TEST(sums_by_fold_are_those_of_all_pairs) {
  const Matrix x(Dtype::float64, n, 7, 1), y(Dtype::float64, n, 30, 2);
  const std::vector<std::int64_t> order = shuffled_rows();
  const std::vector<std::size_t> own = fold_of_rows(order);
  const std::size_t rows = own.size(), folds = sizes.size();
  const Execution how = execution(Dtype::float64, 2);
  Representation layers[] = {{x.view(), own_table(), how}, {y.view(), own_table(), how}};
  layers[0].resolve({}, how);
  layers[1].resolve(rbf(6), how);
  LayerView views[] = {layers[0].view(), layers[1].view()};
  for (LayerView& view : views) view.x.row_index = order.data();
  const std::vector<FoldBlock> blocks = fold_blocks(sizes, how.compute);
  std::vector<double> products(folds * folds), self_products(2 * folds * folds), row_sums(2 * folds * rows);
  own_table().gram_sums({views,
                         1,
                         1,
                         blocks.data(),
                         static_cast<std::int64_t>(blocks.size()),
                         static_cast<std::int64_t>(folds),
                         products.data(),
                         self_products.data(),
                         row_sums.data(),
                         {}},
                        how);

  std::vector<double> k = testing::naive_gram<double>(x, 0), l = testing::naive_gram<double>(y, 6);
  std::vector<double> naive_products(products.size()), naive_selves(self_products.size()), naive_rows(row_sums.size());
  for (double& value : k) value -= layers[0].shift();
  for (double& value : l) value = value / layers[1].unit() - layers[1].shift();
  for (std::size_t i = 0; i < rows; i++)
    for (std::size_t j = 0; j < rows; j++) {
      const auto a = static_cast<std::size_t>(order[i]), b = static_cast<std::size_t>(order[j]);
      const double value_k = k[a * rows + b], value_l = l[a * rows + b];
      if (i == j) continue;
      naive_rows[own[b] * rows + i] += value_k;
      naive_rows[(folds + own[b]) * rows + i] += value_l;
      if (i > j) continue;
      const std::size_t pair = own[a] * folds + own[b];
      naive_products[pair] += value_k * value_l;
      naive_selves[2 * pair] += value_k * value_k;
      naive_selves[2 * pair + 1] += value_l * value_l;
    }
  CHECK(largest_difference(products, naive_products) < 1e-8);
  CHECK(largest_difference(self_products, naive_selves) < 1e-6);  // up to 4e8
  CHECK(largest_difference(row_sums, naive_rows) < 1e-9);
}

// Naive HSIC of all rows, then without each fold.
template <class Number>
std::vector<double> naive_values(const Matrix& x, const Matrix& y, double sigma, const std::vector<std::size_t>& own,
                                 bool unbiased) {
  const std::vector<Number> k = testing::naive_gram<Number>(x, sigma), l = testing::naive_gram<Number>(y, sigma);
  std::vector<double> values{static_cast<double>(testing::naive_hsic(k, l, unbiased))};
  for (std::size_t g = 0; g < sizes.size(); g++)
    values.push_back(static_cast<double>(testing::naive_hsic(without(k, own, g), without(l, own, g), unbiased)));
  return values;
}

TEST(hsic_without_each_fold_is_as_accurate_as_naive_code) {
  const std::vector<std::int64_t> order = shuffled_rows();
  const std::vector<std::size_t> own = fold_of_rows(order);
  for (const Dtype dtype : {Dtype::float32, Dtype::float64})
    for (const double sigma : {0.0, 6.0})
      for (const bool unbiased : {false, true}) {
        const Matrix x(dtype, n, 7, 1), y(dtype, n, 30, 2);
        const std::vector<double> truth = naive_values<long double>(x, y, sigma, own, unbiased);
        const bool in_float64 = dtype == Dtype::float64;
        const double theirs = largest_difference(in_float64 ? naive_values<double>(x, y, sigma, own, unbiased)
                                                            : naive_values<float>(x, y, sigma, own, unbiased),
                                                 truth);
        const KernelSpec kernel = sigma > 0 ? rbf(sigma) : KernelSpec{};
        for (const OpTable* ops : tables()) {
          const JackknifeValues ours =
              jackknife_hsic({x.view(), kernel}, {y.view(), kernel}, {order, sizes},
                             unbiased ? Estimator::unbiased : Estimator::biased, *ops, execution(dtype, 2));
          const double size = std::sqrt(ours.xx[0] * ours.yy[0]);
          CHECK(largest_difference(ours.xy, truth) <= 2 * theirs + 8 * (in_float64 ? 2.2e-16 : 1.2e-7) * size);
        }
      }
}

TEST(hsic_without_each_fold_is_the_same_bits_for_any_number_of_threads) {
  const std::vector<std::int64_t> order = shuffled_rows();
  const Matrix x(Dtype::float32, n, 7, 1), y(Dtype::float32, n, 30, 2);
  for (const OpTable* ops : tables()) {
    const auto run = [&](int threads) {
      return jackknife_hsic({x.view(), {}}, {y.view(), rbf(6)}, {order, sizes}, Estimator::biased, *ops,
                            execution(Dtype::float32, threads));
    };
    const JackknifeValues alone = run(1);
    for (const int threads : {2, 3}) {
      const JackknifeValues found = run(threads);
      CHECK(found.xy == alone.xy && found.xx == alone.xx && found.yy == alone.yy);
    }
  }
}

TEST(folds_cover_all_rows_or_are_refused) {
  const std::vector<std::int64_t> order{2, 0, 1}, twice{0, 0, 1}, beyond{0, 1, 3}, two{1, 2}, three{1, 1, 2},
      less{4, -1};
  CHECK(RowFolds{order, two}.cover(3));
  CHECK(!RowFolds{twice, two}.cover(3));
  CHECK(!RowFolds{beyond, two}.cover(3));
  CHECK(!RowFolds{order, three}.cover(3));
  CHECK(!RowFolds{order, less}.cover(3));
}

}  // namespace
}  // namespace GRAMLESS_ISA
}  // namespace gramless
