#include "ops/hsic/jackknife.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "ops/gram/fold_blocks.hpp"
#include "ops/hsic/hsic_problem.hpp"
#include "reductions/hsic_sums.hpp"

namespace gramless {
namespace {

// Tiles hold kernel values minus a shift. Both estimators centre the values of any subset of rows, including the
// diagonal if they use it, so no shift is added back.
class Jackknife {
 public:
  Jackknife(const LayerInput& x, const LayerInput& y, const RowFolds& folds, Estimator estimator, const OpTable& ops,
            const Execution& execution)
      : layers_(prepare({&x, 1}, {&y, 1}, ops, execution)),
        folds_(folds),
        rows_(folds.order.size()),
        count_(folds.sizes.size()),
        biased_(estimator == Estimator::biased) {
    add_sums(execution);
    for (std::size_t layer = 0; layer < 2; layer++) find_whole(layer);
  }

  JackknifeValues run() const {
    return {values(0, 1, products_.data(), 1),
            values(0, 0, self_products_.data(), 2),
            values(1, 1, self_products_.data() + 1, 2),
            {layers_[0].tied(), layers_[1].tied()}};
  }

 private:
  // Rows [first, end) in their order, all of one fold; the fold after the last is empty.
  struct LeftOut {
    std::size_t first, end, fold;
  };
  struct Hsic {
    double value, mean_square;  // mean_square: of the terms whose difference it is
  };

  void add_sums(const Execution& execution) {
    LayerView views[] = {layers_[0].view(), layers_[1].view()};
    for (LayerView& view : views) view.x.row_index = folds_.order.data();
    Execution own = execution;
    own.compute = layers_[0].compute();
    const std::vector<FoldBlock> blocks = fold_blocks(folds_.sizes, own.compute);
    products_.resize(count_ * count_);
    self_products_.resize(2 * count_ * count_);
    row_sums_.resize(2 * count_ * rows_);
    const GramSumsTask task{.layers = views,
                            .layers_x = 1,
                            .layers_y = 1,
                            .blocks = blocks.data(),
                            .block_count = static_cast<std::int64_t>(blocks.size()),
                            .folds = static_cast<std::int64_t>(count_),
                            .products = products_.data(),
                            .self_products = self_products_.data(),
                            .row_sums = row_sums_.data(),
                            .parts = {}};
    layers_[0].ops().gram_sums(task, own);
  }

  void find_whole(std::size_t layer) {
    whole_[layer].assign(rows_, 0.0);
    for (std::size_t g = 0; g < count_; g++)
      for (std::size_t i = 0; i < rows_; i++) whole_[layer][i] += row_sums(layer, g)[i];
    hollow_totals_[layer] = std::accumulate(whole_[layer].begin(), whole_[layer].end(), 0.0);
    if (!biased_) return;
    for (std::size_t i = 0; i < rows_; i++) {
      diagonal_[layer].push_back(layers_[layer].diagonal(folds_.order[i]));
      whole_[layer][i] += diagonal_[layer][i];
    }
  }

  const double* row_sums(std::size_t layer, std::size_t fold) const {
    return row_sums_.data() + (layer * count_ + fold) * rows_;
  }

  // The products of all rows, then without each fold; sums: (folds, folds) products, `stride` apart.
  std::vector<double> values(std::size_t a, std::size_t b, const double* sums, std::size_t stride) const {
    std::vector<double> touched(count_);  // sums over pairs with a row in the fold
    double all = 0;
    for (std::size_t g = 0; g < count_; g++)
      for (std::size_t h = g; h < count_; h++) {
        const double products = sums[(g * count_ + h) * stride];
        all += products;
        touched[g] += products;
        if (h != g) touched[h] += products;
      }
    const Hsic whole = hsic(a, b, all, {0, 0, count_});
    const double pairs = static_cast<double>(rows_) * static_cast<double>(rows_ - 1);
    const double value_square = layers_[a].value_square(hollow_totals_[a] / pairs, 2 * all / pairs);
    std::vector<double> found{a == b ? layers_[a].beyond_rounding(whole.value, whole.mean_square, value_square)
                                     : whole.value};
    std::size_t first = 0;
    for (std::size_t g = 0; g < count_; g++) {
      const std::size_t end = first + static_cast<std::size_t>(folds_.sizes[g]);
      const Hsic left = hsic(a, b, all - touched[g], {first, end, g});
      found.push_back(a == b ? beyond_rounding(a, whole, left, value_square) : left.value);
      first = end;
    }
    return found;
  }

  // The remaining rows' sums have the rounding error of all rows' sums. If the remaining rows are equal, their values
  // are not 0, because the shift is that of all rows; their sums were then rounded within tiles too.
  double beyond_rounding(std::size_t layer, const Hsic& whole, const Hsic& left, double value_square) const {
    const double in_tiles = layers_[layer].in_float32() ? 1e7 : 1;
    const double mean_square = std::max(whole.mean_square, in_tiles * left.mean_square);
    return layers_[layer].beyond_rounding(left.value, mean_square, value_square);
  }

  // products: sum_{i<j} K_ij L_ij of the remaining rows.
  Hsic hsic(std::size_t a, std::size_t b, double products, const LeftOut& out) const {
    double inner = 2 * products, row_products = 0, total_a = 0, total_b = 0;
    const auto left = [&](std::size_t layer, std::size_t i) {
      return whole_[layer][i] - (out.fold < count_ ? row_sums(layer, out.fold)[i] : 0.0);
    };
    const auto add_rows = [&](std::size_t first, std::size_t end) {
      for (std::size_t i = first; i < end; i++) {
        row_products += left(a, i) * left(b, i);
        total_a += left(a, i);
        total_b += left(b, i);
        if (biased_) inner += diagonal_[a][i] * diagonal_[b][i];
      }
    };
    add_rows(0, out.first);
    add_rows(out.end, rows_);
    const double n = static_cast<double>(rows_ - (out.end - out.first));
    const double value = biased_ ? biased_hsic({inner, row_products, total_a, total_b}, n)
                                 : unbiased_hsic({inner, row_products, total_a, total_b}, n);
    const double units = layers_[a].unit() * layers_[b].unit();
    return {units * value, std::abs(products) / (n * n) + std::pow(total_a / n / n, 2)};
  }

  std::vector<Representation> layers_;
  const RowFolds& folds_;
  const std::size_t rows_, count_;
  const bool biased_;
  std::vector<double> products_, self_products_, row_sums_;  // as GramSumsTask has them
  std::vector<double> whole_[2], diagonal_[2];               // (n): of the rows in their order
  double hollow_totals_[2];                                  // of the values of all pairs i != j
};

}  // namespace

bool RowFolds::cover(std::int64_t n) const {
  std::vector<bool> found(static_cast<std::size_t>(n));
  for (const std::int64_t row : order) {
    if (row < 0 || row >= n || found[static_cast<std::size_t>(row)]) return false;
    found[static_cast<std::size_t>(row)] = true;
  }
  std::int64_t rows = 0;
  for (const std::int64_t size : sizes) {
    if (size < 0) return false;
    rows += size;
  }
  return rows == n && static_cast<std::int64_t>(order.size()) == n;
}

JackknifeValues jackknife_hsic(const LayerInput& x, const LayerInput& y, const RowFolds& folds, Estimator estimator,
                               const OpTable& ops, const Execution& execution) {
  return Jackknife(x, y, folds, estimator, ops, execution).run();
}

}  // namespace gramless
