// Resolves a representation's kernel function: its parameters from the data, and how tiles hold its values.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>

#include "ops/dispatch/padded_values.hpp"
#include "ops/dispatch/visit_rows.hpp"
#include "ops/hsic/chained_sum.hpp"
#include "ops/hsic/far_rows.hpp"
#include "ops/hsic/representation.hpp"
#include "ops/median/median.hpp"
#include "ops/median/sampling.hpp"

namespace gramless {
namespace {

// Rounds to the compute type, so that the algebra adds back exactly what the tiles subtract.
double rounded(double value, Compute compute) {
  return compute == Compute::float32 ? static_cast<double>(static_cast<float>(value)) : value;
}

double mean_of(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

double median_of(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

// values[i] = values[rows[i]], in place: rows ascend.
void gather(const AlignedBuffer& values, const std::vector<std::int64_t>& rows, Compute compute) {
  const auto move = [&](auto* stats) {
    for (std::size_t i = 0; i < rows.size(); i++) stats[i] = stats[rows[i]];
  };
  if (compute == Compute::float32)
    move(reinterpret_cast<float*>(values.data()));
  else
    move(reinterpret_cast<double*>(values.data()));
}

}  // namespace

PairSample Representation::resolve(const KernelSpec& spec, const Execution& execution) {
  PairSample sample;
  visit_kernel(spec.formula, [&]<class Alternative>(const Alternative& stated) {
    if constexpr (Alternative::has_bandwidth) {
      if (spec.sigma) measure_norms(&OpTable::tile_norms, execution);  // without sigma the median measures them
      sample = resolve_of_distance(stated, spec.sigma ? *spec.sigma : bandwidth(spec, execution), execution);
    } else if constexpr (Alternative::of_distance) {
      measure_norms(&OpTable::tile_norms, execution);
      sample = resolve_power(stated, execution);
    } else if constexpr (std::is_same_v<Alternative, Polynomial>) {
      measure_norms(&OpTable::row_norms, execution);
      sample = resolve_polynomial(stated, execution);
    } else {
      measure_norms(&OpTable::row_norms, execution);
      kernel_ = Alternative{};
      shift_ = rounded(mean_product_of_pairs(), compute_);
      row_stats_ = padded_norms();  // read, though the kernel function does not use them
    }
  });
  return sample;
}

bool Representation::resolve_linear(std::span<const double> norms) {
  norms_.assign(norms.begin(), norms.end());
  if (!norms_in_range() || !rows_near(norms_).empty() || norms_beside_rows_apart(norms_, cols())) return false;
  shift_ = rounded(mean_product_of_pairs(), compute_);
  return true;
}

void Representation::center_on_all_rows(const Execution& execution) {
  near_rows_.clear();
  center(execution);
  ops_->row_norms(centered(), execution, norms_.data());
  shift_ = rounded(mean_product_of_pairs(), compute_);
  row_stats_ = padded_norms();
}

// Rows whose mean is the centre sum to zero, so the mean of <x_i, x_j> over i != j among them is known exactly.
double Representation::mean_product_of_pairs() const {
  if (near_rows_.empty()) {
    const double n = static_cast<double>(norms_.size());
    return -chained_sum(norms_) / (n * (n - 1));
  }
  const double n = static_cast<double>(near_rows_.size());
  double norms = 0;
  for (const std::int64_t row : near_rows_) norms += norms_[static_cast<std::size_t>(row)];
  return -norms / (n * (n - 1));
}

double Representation::bandwidth(const KernelSpec& spec, const Execution& execution) {
  return spec.scale * median_distance(spec.include_diagonal, spec.median_rows, execution);
}

template <class Alternative>
PairSample Representation::resolve_of_distance(const Alternative& stated, double sigma, const Execution& execution) {
  sigma_ = sigma;
  const double of_rows = sigma * x_.scale, sharpest = in_float32() ? 0x1p110 : 0x1p500;
  Alternative kernel = stated.of(of_rows * of_rows, sharpest);
  kernel_ = kernel;
  PairSample sample = measured(sample_subsets(x_.rows, subsets_of(x_.rows), -1), execution);
  const double mean = mean_of(sample.values);
  // Values near their mean are held as k / mean - 1, which rounds relative to how far they are from it. If most of them
  // are near 0, that would lose digits and k - mean does not.
  const bool near_mean = mean >= 0.1;
  kernel.log2_unit = near_mean ? std::round(std::log2(mean) * 0x1p16) * 0x1p-16 : 0.0;  // exact in float32
  unit_ = std::exp2(kernel.log2_unit);
  kernel.fit(4 * *std::max_element(norms_.begin(), norms_.end()));  // no distance exceeds twice the largest length
  kernel_ = kernel;
  shift_ = near_mean ? 1.0 : rounded(mean, compute_);
  // A row of infinities would be infinitely far from all others, and its values 0.
  if (!std::isfinite(chained_sum(norms_))) shift_ = std::numeric_limits<double>::quiet_NaN();
  row_stats_ = padded_norms(0.5);
  return sample;
}

PairSample Representation::resolve_power(Distance kernel, const Execution& execution) {
  const double typical2 = 2 * mean_of(norms_);
  const bool known = typical2 > 0 && std::isfinite(typical2);
  kernel.fit(std::ilogb(x_.scale), known ? std::ilogb(typical2) / 2 : 0);
  kernel_ = kernel;
  unit_ = kernel.unit();
  set_offsets();
  PairSample sample = measured(sample_subsets(x_.rows, subsets_of(x_.rows), -1), execution);
  double of_offsets = 0;
  for (const std::int64_t row : sample.pairs) of_offsets += offset(row);
  of_offsets /= static_cast<double>(sample.values.size());
  shift_ = rounded(mean_of(sample.values) / unit_ + of_offsets, compute_);
  row_stats_ = padded_norms(0.5);
  return sample;
}

// -k(x_i, c), c the centre, minus a common value. A row far away is about equally far from all others: subtracting this
// keeps the digits of the differences, and HSIC does not depend on offsets of a row and of its column.
void Representation::set_offsets() {
  std::vector<double> offsets(norms_.size());
  visit_kernel(kernel_, [&]<class Alternative>(const Alternative& kernel) {
    if constexpr (Alternative::of_distance)
      std::transform(norms_.begin(), norms_.end(), offsets.begin(),
                     [&](double norm2) { return -kernel.value(norm2) / unit_; });
  });
  offsets_.assign(norms_.size(), 0.0);
  if (!std::isfinite(chained_sum(offsets))) return;
  const double usual = median_of(offsets);
  for (double& offset : offsets) offset = rounded(offset - usual, compute_);
  offsets_ = std::move(offsets);
}

// <c, x_i - c> of all rows, c the centre; gives |c|^2.
double Representation::multiply_with_center(const Execution& execution) {
  std::vector<double> center(static_cast<std::size_t>(cols()));
  const auto read = [&]<class T>(T) {
    const T *high = reinterpret_cast<const T*>(center_high_.data()),
            *low = reinterpret_cast<const T*>(center_low_.data());
    for (double& value : center) value = static_cast<double>(*high++) + static_cast<double>(*low++);
  };
  in_float32() ? read(float()) : read(double());
  const double* const c = center.data();
  row_terms_.resize(norms_.size());
  for_rows_of(x_, execution, [&](std::int64_t i) {
    visit_row(x_, i, [&](auto value_at) {
      const auto term = [&](std::int64_t k) { return c[k] * (value_at(k) * x_.scale - c[k]); };
      row_terms_[static_cast<std::size_t>(i)] = chained_sum(cols(), term);
    });
  });
  return chained_sum(cols(), [&](std::int64_t k) { return c[k] * c[k]; });
}

PairSample Representation::resolve_polynomial(Polynomial kernel, const Execution& execution) {
  double center2 = multiply_with_center(execution);
  if (std::isfinite(chained_sum(norms_)) && center2 <= median_of(norms_)) {
    // About the origin itself: of few wide rows a product with their mean, which is left out, is larger than one of
    // two rows.
    const std::size_t bytes = static_cast<std::size_t>(cols()) * element_bytes(compute_);
    std::memset(center_high_.data(), 0, bytes);
    std::memset(center_low_.data(), 0, bytes);
    ops_->row_norms(centered(), execution, norms_.data());
    std::fill(row_terms_.begin(), row_terms_.end(), 0.0);
    center2 = 0;
  }
  if (kernel.gamma == 0) kernel.gamma = 1 / static_cast<double>(cols());
  kernel.fit(std::ilogb(x_.scale), center2, largest_of(norms_));
  double largest_term = 0;
  for (double& term : row_terms_) {
    term *= kernel.factor;
    largest_term = std::max(largest_term, std::abs(term));
  }
  Polynomial bound = kernel;
  bound.factor = std::abs(kernel.factor);
  bound.origin = std::abs(kernel.origin);
  kernel.most = bound.value(largest_of(norms_), largest_term, largest_term);
  kernel_ = kernel;
  const std::int64_t longest = std::max_element(norms_.begin(), norms_.end()) - norms_.begin();
  PairSample sample = measured(sample_subsets(x_.rows, subsets_of(x_.rows), -1), execution);
  const std::int64_t subsets = std::min<std::int64_t>(2, subsets_of(x_.rows));
  PairSample of_longest = measured(sample_subsets(x_.rows, subsets, longest), execution);
  double largest = 0;
  for (const PairSample* part : {&sample, &of_longest})
    for (const double value : part->values) largest = std::max(largest, std::abs(value));
  constexpr int most_power = 500;  // products of two values stay in range
  if (largest > 0 && std::isfinite(kernel.most))
    kernel.power = std::max(std::ilogb(largest), std::ilogb(kernel.most) - most_power) + 1;
  kernel_ = kernel;
  double moved2 = 0;
  for (std::size_t p = 0; p < sample.values.size(); p++) {
    sample.values[p] = std::ldexp(sample.values[p], -kernel.power);
    moved2 += std::pow(moved_by_product(sample, p), 2);
  }
  kernel.moved = std::sqrt(moved2 / static_cast<double>(sample.values.size()));
  kernel_ = kernel;
  shift_ = rounded(mean_of(sample.values), compute_);
  row_stats_ = padded_values(row_terms_, compute_);
  return sample;
}

Representation::Operands Representation::operands(const PairSample& sample, std::size_t pair) const {
  const auto a = static_cast<std::size_t>(sample.pairs[2 * pair]),
             b = static_cast<std::size_t>(sample.pairs[2 * pair + 1]);
  return {(norms_[a] + norms_[b] - sample.distances[pair]) / 2, row_terms_[a], row_terms_[b]};
}

double Representation::moved_by_product(const PairSample& sample, std::size_t pair) const {
  const auto& kernel = *std::get_if<Polynomial>(&kernel_);
  const auto a = static_cast<std::size_t>(sample.pairs[2 * pair]),
             b = static_cast<std::size_t>(sample.pairs[2 * pair + 1]);
  const auto [dot, row, column] = operands(sample, pair);
  return std::abs(kernel.slope_factor() * kernel.slope(dot, row, column).value) * std::sqrt(norms_[a] * norms_[b]);
}

PairSample Representation::measured(std::vector<std::int64_t> pairs, const Execution& execution) const {
  const std::size_t count = pairs.size() / 2;
  PairSample sample{std::move(pairs), std::vector<double>(count), std::vector<double>(count)};
  ops_->pair_distances(centered(), execution, sample.pairs.data(), static_cast<std::int64_t>(count),
                       sample.distances.data());
  visit_kernel(kernel_, [&]<class Alternative>(const Alternative& kernel) {
    if constexpr (Alternative::of_distance)
      std::transform(sample.distances.begin(), sample.distances.end(), sample.values.begin(),
                     [&](double distance2) { return kernel.value(distance2); });
    else if constexpr (std::is_same_v<Alternative, Polynomial>)
      for (std::size_t p = 0; p < count; p++) {
        const auto [dot, row, column] = operands(sample, p);
        sample.values[p] = kernel.value(dot, row, column);
      }
  });
  return sample;
}

double Representation::median_distance(bool include_diagonal, std::optional<std::int64_t> median_rows,
                                       const Execution& execution) {
  measure_norms(&OpTable::tile_norms, execution);
  LayerView layer = centered();
  std::vector<std::int64_t> rows;
  AlignedBuffer norms = padded_norms();
  layer.row_stats = norms.data();
  if (median_rows && x_.rows > *median_rows) {
    rows = sample_rows(x_.rows, *median_rows);
    layer.x.row_index = rows.data();
    layer.x.rows = *median_rows;
    gather(norms, rows, compute_);
  } else {
    layer.dots = dots_ = dots_room_;
  }
  const double largest = largest_of(norms_);
  const Median median = median_of_distances(layer, include_diagonal, largest, *ops_, execution);
  tied_ = median.tied;
  return std::sqrt(median.squared_distance) / x_.scale;
}

double Representation::median_of_apart(bool lower, const Execution& execution) {
  measure_norms(&OpTable::tile_norms, execution);
  LayerView layer = centered();
  const AlignedBuffer norms = padded_norms();
  layer.row_stats = norms.data();
  const Median median = gramless::median_of_apart(layer, lower, *ops_, execution);
  tied_ = median.tied;
  return std::sqrt(median.squared_distance) / x_.scale;
}

}  // namespace gramless
