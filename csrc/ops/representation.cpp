#include "ops/representation.hpp"

#include <cmath>
#include <numeric>

#include "ops/median.hpp"
#include "ops/sampling.hpp"

namespace gramless {
namespace {

std::size_t element_bytes(Compute compute) { return compute == Compute::float32 ? sizeof(float) : sizeof(double); }

}  // namespace

Representation::Representation(const ArrayView& x, const OpTable& ops, const Execution& execution)
    : x_(x), ops_(ops), compute_(execution.compute), norms_(static_cast<std::size_t>(x.rows)) {
  std::vector<double> sums(static_cast<std::size_t>(x.cols));
  ops.column_sums(x, execution, sums.data());
  const std::size_t bytes = sums.size() * element_bytes(execution.compute);
  center_high_ = AlignedBuffer(bytes);
  center_low_ = AlignedBuffer(bytes);
  if (execution.compute == Compute::float32) store_centers<float>(sums);
  else store_centers<double>(sums);
  ops.row_norms(centered(), execution, norms_.data());
}

template <class T>
void Representation::store_centers(const std::vector<double>& sums) {
  T *high = reinterpret_cast<T*>(center_high_.data()), *low = reinterpret_cast<T*>(center_low_.data());
  for (std::size_t k = 0; k < sums.size(); k++) {
    const double mean = sums[k] / static_cast<double>(x_.rows);
    high[k] = static_cast<T>(mean);
    low[k] = static_cast<T>(mean - static_cast<double>(high[k]));
  }
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
  return view;
}

double Representation::diagonal(std::int64_t i) const {
  const bool rbf = std::holds_alternative<Rbf>(kernel_);
  return (rbf ? 1.0 : norms_[static_cast<std::size_t>(i)]) - shift_;
}

AlignedBuffer Representation::scaled_norms(double factor) const {
  const std::size_t padded = norms_.size() + stat_padding;
  AlignedBuffer stats(padded * element_bytes(compute_));
  const auto fill = [&](auto* values) {
    for (std::size_t i = 0; i < padded; i++)
      values[i] = static_cast<std::remove_reference_t<decltype(*values)>>(i < norms_.size() ? factor * norms_[i] : 0.0);
  };
  if (compute_ == Compute::float32) fill(reinterpret_cast<float*>(stats.data()));
  else fill(reinterpret_cast<double*>(stats.data()));
  return stats;
}

void Representation::resolve(const KernelSpec& spec, const Execution& execution) {
  const double n = static_cast<double>(x_.rows);
  if (!spec.rbf) {
    // Centred rows sum to zero, so the mean over i != j is known exactly.
    kernel_ = Linear{};
    shift_ = -std::accumulate(norms_.begin(), norms_.end(), 0.0) / (n * (n - 1));
    row_stats_ = scaled_norms(0.0);
    return;
  }
  const double sigma2 = spec.sigma ? *spec.sigma * *spec.sigma
                                   : spec.scale * spec.scale *
                                         median_squared_distance(spec.include_diagonal, spec.median_rows, execution);
  const double gamma = 1 / (2 * sigma2);
  kernel_ = Rbf{gamma};
  row_stats_ = scaled_norms(-gamma);
  shift_ = mean_kernel_of_pairs(gamma, execution);
}

double Representation::mean_kernel_of_pairs(double gamma, const Execution& execution) const {
  constexpr std::int64_t sampled = 256;
  const std::vector<std::int64_t> pairs = sample_pairs(x_.rows, sampled);
  std::vector<double> distances(pairs.size() / 2);
  ops_.pair_distances(centered(), execution, pairs.data(), static_cast<std::int64_t>(distances.size()),
                      distances.data());
  double sum = 0;
  for (const double distance2 : distances) sum += std::exp(-gamma * distance2);
  // Rounded to the compute type, so that what the tiles subtract is what the algebra adds back.
  const double mean = sum / static_cast<double>(distances.size());
  return compute_ == Compute::float32 ? static_cast<double>(static_cast<float>(mean)) : mean;
}

double Representation::median_squared_distance(bool include_diagonal, std::int64_t median_rows,
                                               const Execution& execution) const {
  LayerView layer = centered();
  std::vector<std::int64_t> rows;
  AlignedBuffer norms = scaled_norms(1.0);
  layer.row_stats = norms.data();
  if (median_rows > 0 && x_.rows > median_rows) {
    rows = sample_rows(x_.rows, median_rows);
    layer.x.row_index = rows.data();
    layer.x.rows = median_rows;
  }
  return gramless::median_squared_distance(layer, include_diagonal, ops_, execution);
}

}  // namespace gramless
