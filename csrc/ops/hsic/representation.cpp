#include "ops/hsic/representation.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "ops/dispatch/for_blocks.hpp"
#include "ops/hsic/chained_sum.hpp"
#include "ops/hsic/column_means.hpp"
#include "ops/hsic/far_rows.hpp"
#include "support/dtype.hpp"

namespace gramless {

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

// Centres the rows on the mean of all rows, or of those near each other.
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

double Representation::own_value(std::int64_t i) const {
  double value = 0;
  visit_kernel(kernel_, [&]<class Alternative>(const Alternative& kernel) {
    const double norm2 = norms_[static_cast<std::size_t>(i)];
    if constexpr (std::is_same_v<Alternative, Polynomial>)
      value = kernel.value(norm2, row_term(i), row_term(i));
    else
      value = kernel.diagonal(norm2);
  });
  return value;
}

double Representation::diagonal(std::int64_t i) const { return own_value(i) / unit_ - shift_ + 2 * offset(i); }

double Representation::offset_mean() const {
  return offsets_.empty() ? 0.0 : chained_sum(offsets_) / static_cast<double>(offsets_.size());
}

double Representation::diagonal_sum() const {
  return chained_sum(rows(), [&](std::int64_t i) { return own_value(i) / unit_ - shift_; });
}

int Representation::exponent() const {
  int exponent = 0;
  visit_kernel(kernel_, [&](const auto& kernel) { exponent = kernel.exponent_of(std::ilogb(x_.scale)); });
  return exponent;
}

double Representation::beyond_rounding(double hsic, double mean_square, double value_square) const {
  if (units_ && !directions_differ()) return 0.0;
  // For kernels of distances the rounding error is relative to each value: where all values are small, HSIC may be
  // smaller still.
  const double share = is_of_distance(kernel_) ? value_square : 1.0, of_values = noise();
  const double rounding = unit_ * unit_ * (16 * of_values * of_values * share + 1e-14 * mean_square);
  return std::abs(hsic) <= rounding ? 0.0 : hsic;
}

// Whether the rows' directions differ by more than the rounding of proportional rows when they are stored.
bool Representation::directions_differ() const {
  const double unit = std::max(rounding_of(x_.dtype), in_float32() ? 0x1p-24 : 0x1p-53);
  return std::isnan(chained_sum(norms_)) || largest_of(norms_) > std::pow(1.5 * unit * x_.scale, 2);
}

double Representation::value_square(double mean, double mean_square) const {
  const double square = mean_square + 2 * shift_ * mean + shift_ * shift_, of_offset = offset_mean();
  double of_offsets = 2 * of_offset * of_offset;
  for (const double offset : offsets_) of_offsets += 2 * offset * offset / static_cast<double>(rows());
  return (square > 0 ? square : 0.0) + of_offsets;
}

// The largest rounding error of a tile's values; for kernels of distances relative to the value.
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
  AlignedBuffer stats((offsets_.empty() ? 1 : 2) * padded * element_bytes(compute_));
  const auto fill = [&]<class T>(T* values) {
    for (std::size_t i = 0; i < padded; i++) values[i] = static_cast<T>(i < norms_.size() ? scale * norms_[i] : 0.0);
    for (std::size_t i = 0; i < padded && !offsets_.empty(); i++)
      values[padded + i] = static_cast<T>(i < offsets_.size() ? offsets_[i] : 0.0);
  };
  if (compute_ == Compute::float32)
    fill(reinterpret_cast<float*>(stats.data()));
  else
    fill(reinterpret_cast<double*>(stats.data()));
  return stats;
}

// Measured from the mean of all rows or, if some are so far away that they move it, of the rows near each other:
// otherwise the distance to the centre would dominate all values and leave no digits for the differences between rows.
void Representation::measure_norms(decltype(OpTable::tile_norms) OpTable::* norms_of, const Execution& execution) {
  constexpr int most_rounds = 8;  // a row may count as far away only after one further away was left out
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

// Whether squares of the norms, which tiles sum, and products of the parts of numbers stay in range.
bool Representation::norms_in_range() const {
  const double least = in_float32() ? 0x1p-40 : 0x1p-200, most = in_float32() ? 0x1p50 : 0x1p200;
  const double largest = largest_of(norms_);
  return largest >= least && largest <= most;
}

// Scales the rows to a largest squared length of about 2^20, by a power of two, which is exact. Constant rows, and rows
// with NaN or infinity, are not scaled.
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

}  // namespace gramless
