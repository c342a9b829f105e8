// The raw sums of an HSIC of all pairs of layers, and the algebra that turns them into it. Parts of the sums may be
// computed separately, by other processes or after an interruption; added up in order they give bitwise-identical
// results.
#pragma once

#include <span>
#include <vector>

#include "ops/hsic/hsic.hpp"
#include "ops/hsic/row_lengths.hpp"
#include "reductions/hsic_sums.hpp"

namespace gramless {

// Layers are numbered x, then y. Inputs must outlive it.
class HsicProblem {
 public:
  HsicProblem(std::vector<Representation> layers, std::int64_t layers_x, Estimator estimator, bool over_features);

  std::int64_t parts() const;  // depends only on the shapes
  // Products, self products and, where summed over rows, row sums.
  std::size_t sums_length() const { return products_length() + at(count_) + (over_features_ ? 0 : at(count_ * rows_)); }
  // Adds the sums of parts [first, end) to `sums`, zero before the first.
  void add_parts(std::int64_t first, std::int64_t end, std::span<double> sums, const Execution& execution) const;
  // Adds all parts over features, for layers that are centred but not resolved, whose rows are measured while they are
  // packed. Returns false if that is not enough for a layer; the problem cannot be used after that.
  bool measure_and_add(std::vector<double>& sums, const Execution& execution);
  HsicValues values(std::vector<double> sums);

  // The rows of y in another order: a view per permutation, statistics shared.
  void permute_y(std::span<const std::int64_t> permutations);

 private:
  static std::size_t at(std::int64_t index) { return static_cast<std::size_t>(index); }
  std::int64_t columns() const { return layers_y_ ? layers_y_ : layers_x_; }
  std::size_t products_length() const { return at(layers_x_ * columns()); }
  double product(std::int64_t a, std::int64_t b) const { return sums_[at(a * columns() + b)]; }
  double self_product(std::int64_t layer) const { return sums_[products_length() + at(layer)]; }
  double* row_sums(std::int64_t layer) { return sums_.data() + products_length() + count_ + layer * rows_; }
  const double* row_sums(std::int64_t layer) const { return sums_.data() + products_length() + count_ + layer * rows_; }

  const Representation& layer_of(std::int64_t view) const { return layers_[std::min(at(view), layers_.size() - 1)]; }
  const double* diagonals(std::int64_t view) const { return diagonals_.data() + view * rows_; }
  double diagonal(std::int64_t view, std::int64_t i) const;
  double add_diagonal(std::int64_t view);

  void find_totals();
  double hsic(std::int64_t a, std::int64_t b, double products) const;
  double self_hsic(std::int64_t layer) const;
  double mean_square(std::int64_t layer) const;
  double gram_hsic(std::int64_t a, std::int64_t b, double products) const;
  double feature_hsic(std::int64_t a, std::int64_t b, double squared_covariance) const;
  double of_hollow(const HollowSums& sums, std::int64_t a, std::int64_t b) const;

  std::vector<Representation> layers_;
  std::vector<LayerView> views_;
  std::int64_t count_, layers_x_, layers_y_;
  std::int64_t rows_;
  double n_;
  Estimator estimator_;
  bool over_features_;
  std::vector<double> sums_, totals_, mean_;
  std::vector<double> diagonals_;    // (count, rows), where the estimator has them
  std::vector<RowLengths> lengths_;  // (count), the same
};

// Computes means, norms and bandwidths, which the first part needs. One table of ops serves all layers.
std::vector<Representation> prepare(std::span<const LayerInput> xs, std::span<const LayerInput> ys, const OpTable& ops,
                                    const Execution& execution);
// The same for a backward pass whose forward has summed over features or over pairs of rows.
std::vector<Representation> prepare_summed(std::span<const LayerInput> xs, std::span<const LayerInput> ys,
                                           Estimator estimator, bool over_features, const OpTable& ops,
                                           const Execution& execution);
HsicProblem hsic_problem(std::span<const LayerInput> xs, std::span<const LayerInput> ys, Estimator estimator,
                         Space space, const OpTable& ops, const Execution& execution);

}  // namespace gramless
