#include "ops/hsic/representation.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "ops/dispatch/for_blocks.hpp"
#include "ops/hsic/chained_sum.hpp"
#include "ops/hsic/column_means.hpp"
#include "ops/hsic/far_rows.hpp"
#include "ops/median/median.hpp"
#include "ops/median/sampling.hpp"
#include "support/dtype.hpp"

namespace gramless {
namespace {

// To the compute type, so that what the tiles subtract is what the algebra adds back.
double rounded(double value, Compute compute) {
  return compute == Compute::float32 ? static_cast<double>(static_cast<float>(value)) : value;
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

Representation::Representation(const ArrayView& x, const OpTable& ops, const Execution& execution, RowForm form)
    : x_(x), ops_(&ops), compute_(execution.compute), norms_(static_cast<std::size_t>(x.rows)) {
  if (form != RowForm::as_given) {
    units_ = RowUnits(x, form, ops, execution);
    x_.unit = units_.rows();
  }
  const std::size_t bytes = static_cast<std::size_t>(x.cols) * element_bytes(execution.compute);
  center_high_ = AlignedBuffer(bytes);
  center_low_ = AlignedBuffer(bytes);
  center(execution);
}

// On the mean of all rows, or of those near each other.
void Representation::center(const Execution& execution) {
  std::vector<std::int64_t> rows = near_rows_;
  for (std::int64_t& row : rows) row = x_.row_index ? x_.row_index[row] : row;
  ArrayView near = x_;
  if (!rows.empty()) {
    near.rows = static_cast<std::int64_t>(rows.size());
    near.row_index = rows.data();
  }
  center_on_mean(near, execution);
}

void Representation::center_on_mean(const ArrayView& rows, const Execution& execution) {
  const std::vector<double> means = column_means(rows, *ops_, execution);
  if (compute_ == Compute::float32)
    store_centers<float>(means, execution);
  else
    store_centers<double>(means, execution);
}

template <class T>
void Representation::store_centers(const std::vector<double>& means, const Execution& execution) {
  T *high = reinterpret_cast<T*>(center_high_.data()), *low = reinterpret_cast<T*>(center_low_.data());
  for_blocks(cols(), execution, [&](std::int64_t first, std::int64_t end) {
    for (std::int64_t k = first; k < end; k++) {
      const double mean = means[static_cast<std::size_t>(k)];
      high[k] = static_cast<T>(mean);
      low[k] = static_cast<T>(mean - static_cast<double>(high[k]));
    }
  });
}

LayerView Representation::centered() const {
  LayerView view;
  view.x = x_;
  view.center_high = center_high_.data();
  view.center_low = center_low_.data();
  return view;
}

LayerView Representation::view() const {
  LayerView view = centered();
  view.row_stats = row_stats_.data();
  view.kernel = kernel_;
  view.shift = shift_;
  view.dots = dots_;
  return view;
}

double Representation::diagonal(std::int64_t i) const {
  double value = 0;
  visit_kernel(kernel_, [&](const auto& kernel) { value = kernel.diagonal(norms_[static_cast<std::size_t>(i)]); });
  return value / unit_ - shift_;
}

double Representation::diagonal_sum() const {
  double sum = 0;
  visit_kernel(kernel_, [&](const auto& kernel) {
    sum = chained_sum(
        rows(), [&](std::int64_t i) { return kernel.diagonal(norms_[static_cast<std::size_t>(i)]) / unit_ - shift_; });
  });
  return sum;
}

int Representation::exponent() const { return is_of_distance(kernel_) ? 0 : -2 * std::ilogb(x_.scale); }

double Representation::beyond_rounding(double hsic, double mean_square, double value_square) const {
  // Of a kernel of distances it is a share of each value: where all are small, HSIC may be smaller still.
  const double share = is_of_distance(kernel_) ? value_square : 1.0, of_values = noise();
  const double rounding = unit_ * unit_ * (16 * of_values * of_values * share + 1e-14 * mean_square);
  return std::abs(hsic) <= rounding ? 0.0 : hsic;
}

double Representation::value_square(double mean, double mean_square) const {
  const double square = mean_square + 2 * shift_ * mean + shift_ * shift_;
  return square > 0 ? square : 0.0;
}

// How far rounding alone may move a tile's values; of distances, as a share of them.
double Representation::noise() const {
  const double epsilon = compute_ == Compute::float32 ? 6e-8 : 1.1e-16;
  const double n = static_cast<double>(norms_.size());
  const double sum = chained_sum(norms_);
  const double squares = chained_sum(rows(), [&](std::int64_t i) {
    const double norm2 = norms_[static_cast<std::size_t>(i)];
    return norm2 * norm2;
  });
  const double of_pairs = (sum * sum - squares) / (n * (n - 1));  // one row far from all others is in few pairs
  const SquaredLengths lengths{sum / n, std::sqrt(of_pairs > 0 ? of_pairs : 0.0)};
  double noise = 0;
  visit_kernel(kernel_, [&](const auto& kernel) { noise = kernel.noise(epsilon, lengths); });
  return noise;
}

AlignedBuffer Representation::padded_norms(double scale) const {
  const std::size_t padded = norms_.size() + stat_padding;
  AlignedBuffer stats(padded * element_bytes(compute_));
  const auto fill = [&](auto* values) {
    for (std::size_t i = 0; i < padded; i++)
      values[i] = static_cast<std::remove_reference_t<decltype(*values)>>(i < norms_.size() ? scale * norms_[i] : 0.0);
  };
  if (compute_ == Compute::float32)
    fill(reinterpret_cast<float*>(stats.data()));
  else
    fill(reinterpret_cast<double*>(stats.data()));
  return stats;
}

// About the mean of all rows, or of the rows near each other where some are so far away that they move it: values that
// are large for their distance to the centre alone would have no digits left for the differences between rows.
void Representation::measure_norms(decltype(OpTable::tile_norms) OpTable::* norms_of, const Execution& execution) {
  constexpr int most_rounds = 8;  // a row may be seen to lie far away only when one further away has gone
  measure_norms_in_range(norms_of, execution);
  for (int round = 0; round < most_rounds; round++) {
    std::vector<std::int64_t> near = rows_near(norms_);
    if (near.empty() || near.size() == near_rows_.size()) return;
    near_rows_ = std::move(near);
    center(execution);
    measure_norms_in_range(norms_of, execution);
  }
}

void Representation::measure_norms_in_range(decltype(OpTable::tile_norms) OpTable::* norms_of,
                                            const Execution& execution) {
  (ops_->*norms_of)(centered(), execution, norms_.data());
  if (norms_in_range()) return;
  rescale(execution);
  (ops_->*norms_of)(centered(), execution, norms_.data());
}

// Tiles sum products of two squares, and products of the parts of numbers.
bool Representation::norms_in_range() const {
  const double least = in_float32() ? 0x1p-40 : 0x1p-200, most = in_float32() ? 0x1p50 : 0x1p200;
  const double largest = largest_of(norms_);
  return largest >= least && largest <= most;
}

// To a largest squared length of about 2^20, by a power of two, which is exact. Constant rows keep their units, and so
// do rows with NaN or infinity.
void Representation::rescale(const Execution& execution) {
  const double before = x_.scale;
  const int most = in_float32() ? 126 : 1000;  // an exponent of the compute type
  for (const int exponent : in_float32() ? std::array{0, 126, -100} : std::array{0, 550, -600}) {
    x_.scale = std::ldexp(1.0, exponent);
    center(execution);
    ops_->row_norms(centered(), execution, norms_.data());
    const double largest = largest_of(norms_);
    if (!std::isfinite(largest) || largest < (exponent > 0 ? 0x1p-1074 : 0x1p-900)) continue;
    x_.scale = std::ldexp(1.0, std::clamp(exponent + 10 - std::ilogb(largest) / 2, -most, most));
    return center(execution);
  }
  x_.scale = before;
  center(execution);
}

PairSample Representation::resolve(const KernelSpec& spec, const Execution& execution) {
  PairSample sample;
  visit_kernel(spec.formula, [&]<class Alternative>(const Alternative&) {
    if constexpr (Alternative::of_distance) {
      if (spec.sigma) measure_norms(&OpTable::tile_norms, execution);  // the median measures them itself
      sample = resolve_of_distance<Alternative>(spec.sigma ? *spec.sigma : bandwidth(spec, execution), execution);
    } else {
      measure_norms(&OpTable::row_norms, execution);
      kernel_ = Alternative{};
      shift_ = rounded(mean_product_of_pairs(), compute_);
      row_stats_ = padded_norms();  // not used by the kernel function, but read
    }
  });
  return sample;
}

bool Representation::resolve_linear(std::span<const double> norms) {
  norms_.assign(norms.begin(), norms.end());
  if (!norms_in_range() || !rows_near(norms_).empty() || !rows_apart(norms_, cols()).empty()) return false;
  shift_ = rounded(mean_product_of_pairs(), compute_);
  return true;
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
PairSample Representation::resolve_of_distance(double sigma, const Execution& execution) {
  sigma_ = sigma;
  const double of_rows = sigma * x_.scale, sharpest = in_float32() ? 0x1p110 : 0x1p500;
  Alternative kernel = Alternative::of(of_rows * of_rows, sharpest);
  kernel_ = kernel;
  PairSample sample = measured(sample_groups(x_.rows, groups_of(x_.rows), -1), execution);
  const double mean =
      std::accumulate(sample.values.begin(), sample.values.end(), 0.0) / static_cast<double>(sample.values.size());
  // Values near their mean are held as k / mean - 1, which rounds relative to how far they are from it. Where they are
  // mostly near 0 that would cost digits, and k - mean costs none.
  const bool near_mean = mean >= 0.1;
  kernel.log2_unit = near_mean ? std::round(std::log2(mean) * 0x1p16) * 0x1p-16 : 0.0;  // exact in float32
  unit_ = std::exp2(kernel.log2_unit);
  kernel.fit(4 * *std::max_element(norms_.begin(), norms_.end()));  // no distance exceeds twice the largest length
  kernel_ = kernel;
  shift_ = near_mean ? 1.0 : rounded(mean, compute_);
  row_stats_ = padded_norms(0.5);
  return sample;
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

}  // namespace gramless
