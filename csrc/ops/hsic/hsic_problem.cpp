#include "ops/hsic/hsic_problem.hpp"

#include <algorithm>
#include <cmath>

#include "ops/gram/fold_blocks.hpp"
#include "ops/hsic/chained_sum.hpp"

namespace gramless {
namespace {

// Parts are large enough to be worth their own sums, and few enough to store or to send these. They are counted in
// tiles of one size, independent of the compute type and the walk.
constexpr std::int64_t part_tiles = 64, most_parts = 256, nominal_rows = 192;

double inner_product(const double* x, const double* y, std::int64_t n) {
  return chained_sum(n, [&](std::int64_t i) { return x[i] * y[i]; });
}

}  // namespace

HsicProblem::HsicProblem(std::vector<Representation> layers, std::int64_t layers_x, Estimator estimator,
                         bool over_features)
    : layers_(std::move(layers)),
      count_(static_cast<std::int64_t>(layers_.size())),
      layers_x_(layers_x),
      layers_y_(count_ - layers_x),
      rows_(layers_[0].rows()),
      n_(static_cast<double>(rows_)),
      estimator_(estimator),
      over_features_(over_features) {
  for (const Representation& layer : layers_) views_.push_back(layer.view());
}

std::int64_t HsicProblem::parts() const {
  if (!over_features_) {
    const std::int64_t blocks = (rows_ + nominal_rows - 1) / nominal_rows;
    return std::clamp<std::int64_t>(blocks * (blocks + 1) / 2 / part_tiles, 1, most_parts);
  }
  std::int64_t blocks = 0;
  for (const Representation& layer : layers_) blocks += (layer.cols() + nominal_rows - 1) / nominal_rows;
  return std::min(blocks, most_parts);
}

void HsicProblem::add_parts(std::int64_t first, std::int64_t end, std::span<double> sums,
                            const Execution& execution) const {
  const OpTable& ops = layers_[0].ops();
  Execution own = execution;
  own.compute = layers_[0].compute();
  const std::vector<FoldBlock> blocks = fold_blocks({&rows_, 1}, own.compute);
  double *products = sums.data(), *self_products = products + products_length();
  const Parts wanted{parts(), first, end};
  if (over_features_)
    ops.covariance_sums({views_.data(), layers_x_, layers_y_, products, self_products, wanted}, own);
  else
    ops.gram_sums({views_.data(), layers_x_, layers_y_, blocks.data(), static_cast<std::int64_t>(blocks.size()), 1,
                   products, self_products, self_products + count_, wanted},
                  own);
}

bool HsicProblem::measure_and_add(std::vector<double>& sums, const Execution& execution) {
  const std::size_t own = sums_length();
  sums.resize(own + at(count_ * rows_));
  add_parts(0, parts(), sums, execution);
  const double* norms = sums.data() + own;
  bool resolved = true;
  for (Representation& layer : layers_) {
    resolved = layer.resolve_linear({norms, at(rows_)}) && resolved;
    norms += rows_;
  }
  sums.resize(own);
  return resolved;
}

HsicValues HsicProblem::values(std::vector<double> sums) {
  sums_ = std::move(sums);
  find_totals();
  HsicValues values;
  values.xy.reserve(static_cast<std::size_t>(layers_x_ * columns()));
  for (std::vector<double>* of_layers : {&values.xx, &values.mean_x, &values.diagonal_x})
    of_layers->reserve(static_cast<std::size_t>(layers_x_));
  for (std::vector<double>* of_layers : {&values.yy, &values.mean_y, &values.diagonal_y})
    of_layers->reserve(static_cast<std::size_t>(layers_y_));
  for (const Representation& layer : layers_) {
    values.tied.push_back(layer.tied());
    values.sigmas.push_back(layer.sigma());
    values.exponents.push_back(layer.exponent());
  }
  for (std::int64_t a = 0; a < layers_x_; a++)
    for (std::int64_t b = 0; b < columns(); b++) {
      const bool mirrored = layers_y_ == 0 && b < a;
      values.xy.push_back(mirrored ? values.xy[at(b * columns() + a)]
                                   : hsic(a, layers_y_ ? layers_x_ + b : b, product(a, b)));
    }
  for (std::int64_t l = 0; l < count_; l++) {
    const bool first = l < layers_x_;
    (first ? values.xx : values.yy).push_back(self_hsic(l));
    (first ? values.mean_x : values.mean_y).push_back(mean_[at(l)]);
    (first ? values.diagonal_x : values.diagonal_y)
        .push_back((layer_of(l).diagonal_sum() / n_ + layer_of(l).shift()) * layer_of(l).unit());
  }
  if (!over_features_) {
    sums_.erase(sums_.begin(), sums_.begin() + static_cast<std::ptrdiff_t>(products_length()) + count_);
    values.row_sums = std::move(sums_);
  }
  return values;
}

void HsicProblem::permute_y(std::span<const std::int64_t> permutations) {
  const LayerView y = views_[1];
  views_.resize(1);
  for (std::size_t first = 0; first < permutations.size(); first += at(rows_)) {
    views_.push_back(y);
    views_.back().x.row_index = permutations.data() + first;
  }
  layers_y_ = static_cast<std::int64_t>(views_.size()) - 1;
  count_ = layers_y_ + 1;
}

double HsicProblem::diagonal(std::int64_t view, std::int64_t i) const {
  const std::int64_t* order = views_[at(view)].x.row_index;
  return layer_of(view).diagonal(order ? order[i] : i);
}

double HsicProblem::add_diagonal(std::int64_t view) {
  double sum = 0;
  for (std::int64_t i = 0; i < rows_; i++) {
    diagonals_.push_back(diagonal(view, i));
    row_sums(view)[i] += diagonals_.back();
    sum += diagonals_.back();
  }
  return sum;
}

void HsicProblem::find_totals() {
  totals_.clear();
  diagonals_.clear();
  mean_.clear();
  lengths_.clear();
  if (is_of_distances(estimator_))
    for (std::int64_t l = 0; l < count_; l++)
      lengths_.push_back(row_lengths(layer_of(l), {row_sums(l), over_features_ ? 0 : at(rows_)}));
  for (std::int64_t l = 0; l < count_; l++) {
    if (over_features_) {
      totals_.push_back(chained_sum(layer_of(l).norms()));
      mean_.push_back(-totals_.back() / (n_ * (n_ - 1)));
      continue;
    }
    totals_.push_back(chained_sum({row_sums(l), at(rows_)}));
    const Representation& layer = layer_of(l);
    mean_.push_back((totals_.back() / (n_ * (n_ - 1)) + layer.shift() - 2 * layer.offset_mean()) * layer.unit());
    if (estimator_ == Estimator::biased) totals_.back() += add_diagonal(l);
  }
}

double HsicProblem::hsic(std::int64_t a, std::int64_t b, double products) const {
  return over_features_ ? feature_hsic(a, b, products) : gram_hsic(a, b, products);
}

double HsicProblem::self_hsic(std::int64_t layer) const {
  const Representation& of = layer_of(layer);
  const double of_values = mean_[at(layer)] / of.unit() - of.shift() + 2 * of.offset_mean();
  const double value_square = of.value_square(of_values, 2 * self_product(layer) / (n_ * (n_ - 1)));
  return of.beyond_rounding(hsic(layer, layer, self_product(layer)), mean_square(layer), value_square);
}

// The mean square of the terms whose difference an HSIC is.
double HsicProblem::mean_square(std::int64_t layer) const {
  const double products = std::abs(self_product(layer)) / (n_ * n_);
  if (!over_features_) return products + std::pow(totals_[at(layer)] / n_ / n_, 2);
  return layer_of(layer).in_float32() ? 1e7 * products : products;  // the squared covariance is rounded too
}

double HsicProblem::gram_hsic(std::int64_t a, std::int64_t b, double products) const {
  const double row_products = inner_product(row_sums(a), row_sums(b), rows_);
  const double units = layer_of(a).unit() * layer_of(b).unit();
  products *= 2;  // the walk has only i < j
  if (estimator_ != Estimator::biased)
    return units * of_hollow({products, row_products, totals_[at(a)], totals_[at(b)]}, a, b);
  products += inner_product(diagonals(a), diagonals(b), rows_);
  return units * biased_hsic({products, row_products, totals_[at(a)], totals_[at(b)]}, n_);
}

// Centred rows sum to zero, so the hollow Gram matrix has row sums -|x_i|^2.
double HsicProblem::feature_hsic(std::int64_t a, std::int64_t b, double squared_covariance) const {
  if (estimator_ == Estimator::biased) return squared_covariance / ((n_ - 1) * (n_ - 1));
  const std::vector<double>&x = layers_[at(a)].norms(), &y = layers_[at(b)].norms();
  const double norms = inner_product(x.data(), y.data(), rows_);
  return of_hollow({squared_covariance - norms, norms, totals_[at(a)], totals_[at(b)]}, a, b);
}

double HsicProblem::of_hollow(const HollowSums& sums, std::int64_t a, std::int64_t b) const {
  if (estimator_ == Estimator::unbiased) return unbiased_hsic(sums, n_);
  const RowLengths &x = lengths_[at(a)], &y = lengths_[at(b)];
  const double covariance =
      distance_covariance(sums, inner_product(x.deviations.data(), y.deviations.data(), rows_), n_);
  return estimator_ == Estimator::rsa_pearson ? covariance : covariance + x.mean_distance * y.mean_distance;
}

}  // namespace gramless
