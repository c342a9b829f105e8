// The gradients of HSIC: derivatives with respect to kernel values, and the algebra around one more walk over tiles.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "ops/dispatch/for_blocks.hpp"
#include "ops/dispatch/padded_values.hpp"
#include "ops/hsic/chained_sum.hpp"
#include "ops/hsic/column_means.hpp"
#include "ops/hsic/gradient_space.hpp"
#include "ops/hsic/hsic_problem.hpp"

namespace gramless {
namespace {

class HsicGradients {
 public:
  HsicGradients(std::span<const LayerInput> xs, std::span<const LayerInput> ys, Estimator estimator,
                bool summed_over_features, const OpTable& ops, const Execution& execution)
      : layers_(prepare_summed(xs, ys, estimator, summed_over_features, ops, execution)),
        ops_(layers_[0].ops()),
        execution_(execution),
        of_inputs_(execution.compute),
        estimator_(estimator),
        layers_x_(xs.size()),
        layers_y_(ys.size()) {
    execution_.compute = layers_[0].compute();
    for (const Representation& layer : layers_) {
      views_.push_back(layer.view());
      units_.push_back(layer.unit());
      double largest = std::abs(layer.shift());
      for (std::int64_t i = 0; i < layer.rows(); i++) largest = std::max(largest, std::abs(layer.diagonal(i)));
      largest_values_.push_back(largest);
      totals_.push_back(chained_sum(layer.norms()));
    }
    rows_ = static_cast<std::size_t>(layers_[0].rows());
    n_ = static_cast<double>(rows_);
  }

  void run(std::span<const double> row_sums, const HsicWeights& weights, std::span<void* const> gradients) {
    set_coefficients(weights);
    over_features_ = row_sums.empty() && are_over_features(layers_, gradients, coefficients_, estimator_);
    if (!over_features_) set_row_sums(row_sums);
    if (is_of_distances(estimator_)) set_length_terms();
    if (!over_features_) set_terms();
    std::vector<double> weight_sums(count() * rows_);
    std::vector<AlignedBuffer> wide(count());
    std::vector<void*> targets(gradients.begin(), gradients.end());
    for (std::size_t a = 0; a < count(); a++) {
      if (gradients[a] == nullptr) continue;
      if (execution_.compute != of_inputs_) {
        wide[a] = AlignedBuffer(bytes(a));
        targets[a] = wide[a].data();
      }
      clear(a, static_cast<char*>(targets[a]));
    }
    if (over_features_)
      add_products_of_features(targets);
    else
      ops_.kernel_grad({views_.data(), static_cast<std::int64_t>(count()), coefficients_.data(), term_pointers_.data(),
                        constants_.data(), units_.data(), targets.data(), weight_sums.data()},
                       execution_);
    for (std::size_t a = 0; a < count(); a++) {
      if (gradients[a] == nullptr) continue;
      finish(a, weight_sums.data() + a * rows_, targets[a]);
      if (over_features_ && estimator_ != Estimator::biased)  // derivatives of the mean cancel in a gradient's mean
        subtract_column_means(layers_[a].rows(), layers_[a].cols(), targets[a], ops_, execution_);
      if (layers_[a].units()) layers_[a].units().finish_gradient(views_[a].x, targets[a], execution_);
      if (targets[a] != gradients[a]) narrow(a, targets[a], gradients[a]);
    }
  }

 private:
  std::size_t count() const { return layers_.size(); }
  std::int64_t features() const {
    std::int64_t sum = 0;
    for (const Representation& layer : layers_) sum += layer.cols();
    return sum;
  }
  double& coefficient(std::size_t a, std::size_t b) { return coefficients_[a * count() + b]; }

  void clear(std::size_t layer, char* gradient) const {
    const std::size_t size = element_bytes(execution_.compute);
    for_blocks(layers_[layer].rows() * layers_[layer].cols(), execution_, [&](std::int64_t first, std::int64_t end) {
      std::memset(gradient + static_cast<std::size_t>(first) * size, 0, static_cast<std::size_t>(end - first) * size);
    });
  }
  std::size_t values(std::size_t layer) const {
    return static_cast<std::size_t>(layers_[layer].rows() * layers_[layer].cols());
  }
  std::size_t bytes(std::size_t layer) const { return values(layer) * element_bytes(execution_.compute); }

  // Derivatives with respect to p_i = k_ii - 2 / n sum_j k_ij + const, the squared distances of rows to the mean row.
  void set_length_terms() {
    by_lengths_.assign(count(), std::vector<double>(rows_));
    by_mean_lengths_.assign(count(), 0.0);
    for (std::size_t b = 0; b < count(); b++) {
      const RowLengths lengths = row_lengths(layers_[b], {row_sums_.data() + b * rows_, over_features_ ? 0 : rows_});
      for (std::size_t a = 0; a < count(); a++) {
        const double share = coefficient(a, b) * n_;
        for (std::size_t i = 0; i < rows_; i++)
          by_lengths_[a][i] += share * n_ / (2 * (n_ - 2)) * lengths.deviations[i];
        if (estimator_ == Estimator::rsa_cosine) by_mean_lengths_[a] += share * lengths.mean_distance;
      }
    }
  }

  // Row sums of tiles' values, with the diagonal if the estimator has it. A forward pass over features returns none:
  // they then follow from centred rows summing to zero.
  void set_row_sums(std::span<const double> given) {
    row_sums_.assign(given.begin(), given.end());
    if (!given.empty()) return;
    for (const Representation& layer : layers_)
      for (const double norm2 : layer.norms())
        row_sums_.push_back(estimator_ == Estimator::biased ? -layer.shift() * n_ : -norm2 - layer.shift() * (n_ - 1));
  }

  // The coefficients of layer b's value in the derivative with respect to layer a's.
  void set_coefficients(const HsicWeights& weights) {
    coefficients_.assign(count() * count(), 0.0);
    const std::size_t columns = layers_y_ ? layers_y_ : layers_x_, first = layers_y_ ? layers_x_ : 0;
    for (std::size_t a = 0; a < layers_x_; a++)
      for (std::size_t b = 0; b < columns; b++) {
        coefficient(a, first + b) += weights.xy[a * columns + b];
        coefficient(first + b, a) += weights.xy[a * columns + b];
      }
    for (std::size_t a = 0; a < layers_x_; a++) coefficient(a, a) += 2 * weights.xx[a];
    for (std::size_t b = 0; b < layers_y_; b++) coefficient(layers_x_ + b, layers_x_ + b) += 2 * weights.yy[b];
    const double spared = is_of_distances(estimator_) ? 1 : 3;
    const double normaliser = estimator_ == Estimator::biased ? (n_ - 1) * (n_ - 1) : n_ * (n_ - spared);
    for (std::size_t a = 0; a < count(); a++)
      for (std::size_t b = 0; b < count(); b++) coefficient(a, b) *= units_[b] / normaliser;
    for (std::size_t a = 0; a < count(); a++) normalize(a);
  }

  // Derivatives can leave the range of float32 where their products with rows do not: those with respect to layer a's
  // values are divided by a power of two.
  void normalize(std::size_t a) {
    double largest = 0;
    for (std::size_t b = 0; b < count(); b++) {
      const double value = std::abs(coefficient(a, b)) * largest_values_[b];
      largest = value > largest ? value : largest;
    }
    const int exponent = largest > 0 && std::isfinite(largest) ? std::ilogb(largest) : 0;
    for (std::size_t b = 0; b < count(); b++) coefficient(a, b) = std::ldexp(coefficient(a, b), -exponent);
    divisors_.push_back(std::ldexp(layers_[a].scale(), exponent));
  }

  // The terms of the derivative that come from the row sums in an HSIC.
  void set_terms() {
    const bool biased = estimator_ == Estimator::biased;
    const double per_row = biased ? n_ : n_ - 2, per_total = biased ? n_ * n_ : (n_ - 1) * (n_ - 2);
    constants_.assign(count(), 0.0);
    for (std::size_t a = 0; a < count(); a++) {
      std::vector<double> terms(rows_);
      for (std::size_t b = 0; b < count(); b++) {
        const double* sums = row_sums_.data() + b * rows_;
        for (std::size_t i = 0; i < rows_; i++) terms[i] -= coefficient(a, b) * sums[i] / per_row;
        constants_[a] += coefficient(a, b) * std::accumulate(sums, sums + rows_, 0.0) / per_total;
      }
      if (is_of_distances(estimator_)) {
        for (std::size_t i = 0; i < rows_; i++) terms[i] -= by_lengths_[a][i] / n_;
        constants_[a] -= by_mean_lengths_[a] / n_;
      }
      term_buffers_.push_back(padded_values(terms, execution_.compute));
      term_pointers_.push_back(term_buffers_.back().data());
      terms_.push_back(std::move(terms));
    }
  }

  // The derivative of |X' Y|_F^2 with respect to X is 2 Y (Y' X).
  void add_products_of_features(const std::vector<void*>& targets) const {
    const auto all = static_cast<std::size_t>(features()), columns = layers_y_ ? layers_y_ : layers_x_;
    const AlignedBuffer covariances(all * all * sizeof(double));
    double* const values = reinterpret_cast<double*>(covariances.data());
    std::vector<double> products(layers_x_ * columns), self_products(count());
    ops_.covariance_sums({views_.data(), static_cast<std::int64_t>(layers_x_), static_cast<std::int64_t>(layers_y_),
                          products.data(), self_products.data(), Parts(), values},
                         execution_);
    std::vector<AlignedBuffer> matrices(count());
    std::vector<const void*> pointers(count());
    std::vector<std::int64_t> strides(count());
    const double* of_layer = values;  // the first column of its features
    for (std::size_t a = 0; a < count(); of_layer += layers_[a++].cols()) {
      if (targets[a] == nullptr) continue;
      strides[a] = padded_width(layers_[a].cols());
      matrices[a] = AlignedBuffer(all * static_cast<std::size_t>(strides[a]) * element_bytes(execution_.compute));
      pointers[a] = matrices[a].data();
      if (execution_.compute == Compute::float32)
        weigh_covariances(a, of_layer, reinterpret_cast<float*>(matrices[a].data()), strides[a]);
      else
        weigh_covariances(a, of_layer, reinterpret_cast<double*>(matrices[a].data()), strides[a]);
    }
    ops_.covariance_grad({views_.data(), static_cast<std::int64_t>(count()), coefficients_.data(), pointers.data(),
                          strides.data(), targets.data()},
                         execution_);
  }

  template <class T>
  void weigh_covariances(std::size_t a, const double* covariances, T* matrix, std::int64_t stride) const {
    const std::int64_t all = features(), width = layers_[a].cols();
    for (std::size_t b = 0; b < count(); b++) {
      const double weight = coefficients_[a * count() + b];
      for (std::int64_t f = 0; f < layers_[b].cols(); f++, covariances += all, matrix += stride)
        for (std::int64_t k = 0; k < stride; k++)
          matrix[k] = k < width && weight != 0 ? static_cast<T>(weight * covariances[k]) : T(0);
    }
  }

  void narrow(std::size_t layer, const void* from, void* to) const {
    const auto* const wide = static_cast<const double*>(from);
    std::transform(wide, wide + values(layer), static_cast<float*>(to),
                   [](double value) { return static_cast<float>(value); });
  }

  void finish(std::size_t a, const double* weight_sums, void* gradient) const {
    std::vector<double> row_factors(rows_), center_factors;
    double factor = 0;
    visit_kernel(views_[a].kernel, [&]<class Alternative>(const Alternative& kernel) {
      factor = 2 * kernel.slope_factor();  // every pair is two entries of the Gram matrix
      for (std::size_t i = 0; i < rows_; i++)
        if constexpr (Alternative::of_distance) {
          row_factors[i] = -factor * weight_sums[i];
        } else if constexpr (std::is_same_v<Alternative, Polynomial>) {
          const double term = layers_[a].row_term(static_cast<std::int64_t>(i));
          const Polynomial::Slope own = kernel.slope(layers_[a].norms()[i], term, term);
          const double by_own = estimator_ == Estimator::biased ? factor * diagonal_derivative(a, i) : 0;
          row_factors[i] = by_own * own.value;
          center_factors.push_back((factor * weight_sums[i] + by_own * own.beyond_row) * divisors_[a]);
        } else if (over_features_)
          row_factors[i] = estimator_ == Estimator::biased ? 0 : 2 * length_derivative(a, i);
        else if (estimator_ == Estimator::biased)
          row_factors[i] = 2 * diagonal_derivative(a, i);
        else if (is_of_distances(estimator_))
          row_factors[i] = 2 * ((1 - 2 / n_) * by_lengths_[a][i] + (1 - 1 / n_) * by_mean_lengths_[a]);
    });
    for (double& row_factor : row_factors) row_factor *= divisors_[a];
    ops_.finish_kernel_grad({views_[a], factor * divisors_[a], row_factors.data(), gradient,
                             center_factors.empty() ? nullptr : center_factors.data()},
                            execution_);
  }

  double diagonal_derivative(std::size_t a, std::size_t i) const {
    double sum = constants_[a] + 2 * terms_[a][i];
    for (std::size_t b = 0; b < count(); b++)
      sum += coefficients_[a * count() + b] * layers_[b].diagonal(static_cast<std::int64_t>(i));
    return sum;
  }

  // The derivative with respect to |x_i|^2, through the diagonal, which is left out, and through the row sums.
  double length_derivative(std::size_t a, std::size_t i) const {
    double sum = 0;
    for (std::size_t b = 0; b < count(); b++)
      sum +=
          coefficients_[a * count() + b] * (totals_[b] / ((n_ - 1) * (n_ - 2)) - n_ / (n_ - 2) * layers_[b].norms()[i]);
    return is_of_distances(estimator_) ? sum + by_lengths_[a][i] + by_mean_lengths_[a] : sum;
  }

  std::vector<Representation> layers_;
  const OpTable& ops_;
  Execution execution_;
  const Compute of_inputs_;  // the type of the returned gradients
  const Estimator estimator_;
  const std::size_t layers_x_, layers_y_;
  std::vector<LayerView> views_;
  std::size_t rows_ = 0;
  double n_ = 0;
  bool over_features_ = false;
  std::vector<double> units_, largest_values_, totals_, row_sums_, coefficients_, constants_, by_mean_lengths_;
  std::vector<double> divisors_;  // (layers): derivatives were divided by these, so gradients are multiplied by them
  std::vector<std::vector<double>> terms_, by_lengths_;
  std::vector<AlignedBuffer> term_buffers_;
  std::vector<const void*> term_pointers_;
};

}  // namespace

void hsic_gradients(std::span<const LayerInput> xs, std::span<const LayerInput> ys, Estimator estimator,
                    std::span<const double> row_sums, const HsicWeights& weights, std::span<void* const> gradients,
                    const OpTable& ops, const Execution& execution) {
  HsicGradients(xs, ys, estimator, row_sums.empty(), ops, execution).run(row_sums, weights, gradients);
}

}  // namespace gramless
