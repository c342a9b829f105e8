#include "ops/hsic.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "reductions/hsic_sums.hpp"

namespace gramless {
namespace {

// The walk's raw sums and the algebra that turns them into HSIC. Layers are numbered x, then y.
class HsicProblem {
 public:
  HsicProblem(std::vector<Representation> layers, std::int64_t layers_x, Estimator estimator)
      : layers_(std::move(layers)),
        count_(static_cast<std::int64_t>(layers_.size())),
        layers_x_(layers_x),
        layers_y_(count_ - layers_x),
        rows_(layers_[0].rows()),
        n_(static_cast<double>(rows_)),
        estimator_(estimator),
        products_(static_cast<std::size_t>(layers_x * columns())),
        self_products_(static_cast<std::size_t>(count_)) {
    for (const Representation& layer : layers_) views_.push_back(layer.view());
  }

  void sum_in_gram_space(const OpTable& ops, const Execution& execution) {
    row_sums_.assign(static_cast<std::size_t>(count_ * rows_), 0.0);
    ops.gram_sums({views_.data(), layers_x_, layers_y_, products_.data(), self_products_.data(), row_sums_.data()},
                  execution);
    for (std::int64_t l = 0; l < count_; l++) {
      totals_.push_back(std::accumulate(sums_of(l), sums_of(l) + rows_, 0.0));
      mean_.push_back((totals_.back() / (n_ * (n_ - 1)) + layer_of(l).shift()) * layer_of(l).unit());
      if (estimator_ == Estimator::biased) totals_.back() += add_diagonal(l);
    }
  }

  void sum_in_feature_space(const OpTable& ops, const Execution& execution) {
    ops.covariance_sums({views_.data(), layers_x_, layers_y_, products_.data(), self_products_.data()}, execution);
    for (const Representation& layer : layers_) {
      totals_.push_back(std::accumulate(layer.norms().begin(), layer.norms().end(), 0.0));
      mean_.push_back(-totals_.back() / (n_ * (n_ - 1)));
    }
  }

  HsicValues values() const {
    HsicValues values;
    for (std::int64_t a = 0; a < layers_x_; a++)
      for (std::int64_t b = 0; b < columns(); b++) {
        const bool mirrored = layers_y_ == 0 && b < a;
        values.xy.push_back(mirrored ? values.xy[at(b * columns() + a)]
                                     : hsic(a, layers_y_ ? layers_x_ + b : b, products_[at(a * columns() + b)]));
      }
    for (std::int64_t l = 0; l < count_; l++) {
      const bool first = l < layers_x_;
      (first ? values.xx : values.yy).push_back(self_hsic(l));
      (first ? values.mean_x : values.mean_y).push_back(mean_[at(l)]);
      (first ? values.diagonal_x : values.diagonal_y)
          .push_back((diagonal_sum(l) / n_ + layer_of(l).shift()) * layer_of(l).unit());
    }
    return values;
  }

  std::vector<double> take_row_sums() { return std::move(row_sums_); }

  // The rows of y in another order: a view per permutation, statistics shared.
  void permute_y(std::span<const std::int64_t> permutations) {
    const LayerView y = views_[1];
    views_.resize(1);
    for (std::size_t first = 0; first < permutations.size(); first += at(rows_)) {
      views_.push_back(y);
      views_.back().x.row_index = permutations.data() + first;
    }
    layers_y_ = static_cast<std::int64_t>(views_.size()) - 1;
    count_ = layers_y_ + 1;
    products_.assign(at(layers_y_), 0.0);
    self_products_.assign(at(count_), 0.0);
  }

 private:
  static std::size_t at(std::int64_t index) { return static_cast<std::size_t>(index); }
  std::int64_t columns() const { return layers_y_ ? layers_y_ : layers_x_; }
  double* sums_of(std::int64_t layer) { return row_sums_.data() + layer * rows_; }
  const double* sums_of(std::int64_t layer) const { return row_sums_.data() + layer * rows_; }

  const Representation& layer_of(std::int64_t view) const { return layers_[std::min(at(view), layers_.size() - 1)]; }
  double diagonal(std::int64_t view, std::int64_t i) const {
    const std::int64_t* order = views_[at(view)].x.row_index;
    return layer_of(view).diagonal(order ? order[i] : i);
  }
  double diagonal_sum(std::int64_t view) const {
    double sum = 0;
    for (std::int64_t i = 0; i < rows_; i++) sum += diagonal(view, i);
    return sum;
  }
  double add_diagonal(std::int64_t view) {
    double sum = 0;
    for (std::int64_t i = 0; i < rows_; i++) {
      sums_of(view)[i] += diagonal(view, i);
      sum += diagonal(view, i);
    }
    return sum;
  }

  double hsic(std::int64_t a, std::int64_t b, double products) const {
    return row_sums_.empty() ? feature_hsic(a, b, products) : gram_hsic(a, b, products);
  }

  // 0 where it is no more than the rounding of what it was summed from: a representation without variation must not
  // be divided by noise.
  double self_hsic(std::int64_t l) const {
    const double value = hsic(l, l, self_products_[at(l)]), noise = layer_of(l).noise() * layer_of(l).unit();
    const double rounding = 16 * noise * noise + 1e-14 * layer_of(l).unit() * layer_of(l).unit() * mean_square(l);
    return std::abs(value) <= rounding ? 0.0 : value;
  }

  // Of the terms an HSIC is the difference of.
  double mean_square(std::int64_t l) const {
    const double products = std::abs(self_products_[at(l)]) / (n_ * n_);
    if (!row_sums_.empty()) return products + std::pow(totals_[at(l)] / n_ / n_, 2);
    return layer_of(l).in_float32() ? 1e7 * products : products;  // the squared covariance itself was rounded
  }

  double gram_hsic(std::int64_t a, std::int64_t b, double products) const {
    const double row_products = std::inner_product(sums_of(a), sums_of(a) + rows_, sums_of(b), 0.0);
    const double units = layer_of(a).unit() * layer_of(b).unit();
    products *= 2;  // the walk saw i < j
    if (estimator_ == Estimator::unbiased)
      return units * unbiased_hsic({products, row_products, totals_[at(a)], totals_[at(b)]}, n_);
    for (std::int64_t i = 0; i < rows_; i++) products += diagonal(a, i) * diagonal(b, i);
    return units * biased_hsic({products, row_products, totals_[at(a)], totals_[at(b)]}, n_);
  }

  // Centred rows sum to zero, so the hollow Gram matrix has row sums -|x_i|^2.
  double feature_hsic(std::int64_t a, std::int64_t b, double squared_covariance) const {
    if (estimator_ == Estimator::biased) return squared_covariance / ((n_ - 1) * (n_ - 1));
    const std::vector<double>&x = layers_[at(a)].norms(), &y = layers_[at(b)].norms();
    const double norms = std::inner_product(x.begin(), x.end(), y.begin(), 0.0);
    return unbiased_hsic({squared_covariance - norms, norms, totals_[at(a)], totals_[at(b)]}, n_);
  }

  std::vector<Representation> layers_;
  std::vector<LayerView> views_;
  std::int64_t count_, layers_x_, layers_y_;
  const std::int64_t rows_;
  const double n_;
  const Estimator estimator_;
  std::vector<double> products_, self_products_, row_sums_, totals_, mean_;
};

// Multiply-adds in either space. Gram space pays for every layer once, feature space for every pair of layers.
bool features_cost_less(std::span<const LayerInput> xs, std::span<const LayerInput> ys) {
  const double n = static_cast<double>(xs[0].x.rows);
  double width = 0, wide_pairs = 0;
  const auto add_self = [&](std::span<const LayerInput> layers) {
    for (const LayerInput& layer : layers) {
      const double d = static_cast<double>(layer.x.cols);
      width += d;
      wide_pairs += d * d / 2;
    }
  };
  add_self(xs);
  add_self(ys);
  const double selves = static_cast<double>(xs.size() + ys.size());
  double pairs = selves;
  for (std::size_t a = 0; a < xs.size(); a++)
    for (std::size_t b = ys.empty() ? a + 1 : 0; b < (ys.empty() ? xs : ys).size(); b++) {
      wide_pairs += static_cast<double>(xs[a].x.cols) * static_cast<double>((ys.empty() ? xs : ys)[b].x.cols);
      pairs++;
    }
  return n * wide_pairs < n * n / 2 * (width + pairs);
}

bool use_features(std::span<const LayerInput> xs, std::span<const LayerInput> ys, Space space) {
  for (const auto& layers : {xs, ys})
    for (const LayerInput& layer : layers)
      if (layer.kernel.rbf) return false;
  return space == Space::features || (space == Space::automatic && features_cost_less(xs, ys));
}

// One progress count for the median passes of `medians` layers, together about as long as the walk, and for the walk.
class Stages {
 public:
  Stages(const Monitor& outer, std::int64_t medians) : outer_(outer), medians_(medians) {}

  Monitor next() {
    begin_ = end_;
    end_ = passed_ < medians_ ? steps * ++passed_ / (2 * medians_) : steps;
    return {outer_.report ? report : nullptr, this};
  }

 private:
  static constexpr std::int64_t steps = 10000;
  static void report(void* self, std::int64_t done, std::int64_t total) {
    const Stages& stages = *static_cast<const Stages*>(self);
    stages.outer_.report(stages.outer_.context, stages.begin_ + (stages.end_ - stages.begin_) * done / total, steps);
  }

  const Monitor& outer_;
  const std::int64_t medians_;
  std::int64_t passed_ = 0, begin_ = 0, end_ = 0;
};

bool wants_median(const LayerInput& layer) { return layer.kernel.rbf && !layer.kernel.sigma; }

std::int64_t bandwidths_wanted(std::span<const LayerInput> xs, std::span<const LayerInput> ys) {
  return std::count_if(xs.begin(), xs.end(), wants_median) + std::count_if(ys.begin(), ys.end(), wants_median);
}

std::vector<Representation> prepare(std::span<const LayerInput> xs, std::span<const LayerInput> ys, const OpTable& ops,
                                    const Execution& execution, Stages& stages) {
  std::vector<Representation> layers;
  layers.reserve(xs.size() + ys.size());
  Execution staged = execution;
  for (const auto& inputs : {xs, ys})
    for (const LayerInput& input : inputs) {
      if (wants_median(input)) staged.monitor = stages.next();
      layers.emplace_back(input.x, ops, staged);
      layers.back().resolve(input.kernel, staged);
    }
  return layers;
}

}  // namespace

HsicValues hsic_values(std::span<const LayerInput> xs, std::span<const LayerInput> ys, Estimator estimator, Space space,
                       const OpTable& ops, const Execution& execution) {
  Stages stages(execution.monitor, bandwidths_wanted(xs, ys));
  HsicProblem problem(prepare(xs, ys, ops, execution, stages), static_cast<std::int64_t>(xs.size()), estimator);
  Execution main = execution;
  main.monitor = stages.next();
  if (use_features(xs, ys, space))
    problem.sum_in_feature_space(ops, main);
  else
    problem.sum_in_gram_space(ops, main);
  HsicValues values = problem.values();
  values.row_sums = problem.take_row_sums();
  return values;
}

std::vector<double> permuted_hsic(const LayerInput& x, const LayerInput& y, std::span<const std::int64_t> permutations,
                                  Estimator estimator, const OpTable& ops, const Execution& execution) {
  Stages stages(execution.monitor, 0);
  HsicProblem problem(prepare({&x, 1}, {&y, 1}, ops, execution, stages), 1, estimator);
  problem.permute_y(permutations);
  problem.sum_in_gram_space(ops, execution);
  return problem.values().xy;
}

}  // namespace gramless
