#include "ops/hsic/precision.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <utility>

#include "epilogues/near_share.hpp"
#include "ops/hsic/chained_sum.hpp"
#include "ops/hsic/far_rows.hpp"
#include "ops/median/sampling.hpp"

namespace gramless {
namespace {

// Measuring the conditioning of at most this many rows takes as long as computing in float64.
constexpr std::int64_t few_rows = 32;

// Mean squares of a tile's values v, of their rounding errors, and of the centred values.
struct Squares {
  double values = 0, rounding = 0, centred = 0;
  bool of_one_row = false;  // dominated by one row that is far longer than the others and so is in few pairs
};

using SubsetValues = std::array<double, subset_pairs>;  // v_ij of i < j, row by row

// The mean square of the U-centred values of a subset (Szekely and Rizzo 2014), an unbiased estimate of that of the
// whole matrix.
double centred_square(SubsetValues values) {
  constexpr double n = subset_rows;
  double sums[subset_rows] = {}, total = 0, squares = 0;
  const auto each = [&](auto use) {
    for (std::size_t i = 0, p = 0; i < subset_rows; i++)
      for (std::size_t j = i + 1; j < subset_rows; j++) use(i, j, values[p++]);
  };
  const double origin = values[0];  // equal values become exactly 0
  each([&](std::size_t i, std::size_t j, double& value) {
    value -= origin;
    sums[i] += value;
    sums[j] += value;
    total += 2 * value;
  });
  each([&](std::size_t i, std::size_t j, double value) {
    const double centred = value - (sums[i] + sums[j]) / (n - 2) + total / ((n - 1) * (n - 2));
    squares += centred * centred;
  });
  return squares / (n * (n - 3) / 2);
}

constexpr double epsilon = 0x1p-24;

// How far rounding in float32 may move the value of a sampled pair.
template <class Alternative>
double rounding_of_pair(const Alternative& kernel, const Representation& layer, const PairSample& sample,
                        std::size_t pair) {
  const auto norm2 = [&](std::size_t row) { return layer.norms()[static_cast<std::size_t>(sample.pairs[row])]; };
  const double lengths = norm2(2 * pair) + norm2(2 * pair + 1), distance2 = sample.distances[pair];
  const bool measured = Alternative::of_root && distance2 < near_share<double> * lengths;  // from differences
  const double lost = kernel.share_lost(distance2, epsilon * (measured ? distance2 : lengths / 2));
  return (lost > 1 ? 1 : lost) * sample.values[pair] / layer.unit();
}
double rounding_of_pair(const Polynomial&, const Representation& layer, const PairSample& sample, std::size_t pair) {
  return epsilon * (layer.moved_by_product(sample, pair) + std::abs(sample.values[pair]));
}

Squares mean_squares(const Representation& layer, const PairSample& sample) {
  const std::size_t count = sample.distances.size();
  Squares sums;
  visit_kernel(layer.view().kernel, [&]<class Alternative>(const Alternative& kernel) {
    if constexpr (!std::is_same_v<Alternative, Linear>)
      for (std::size_t first = 0; first < count; first += subset_pairs) {
        SubsetValues values;
        for (std::size_t e = 0; e < subset_pairs; e++) {
          const std::size_t p = first + e;
          const double around = layer.offset(sample.pairs[2 * p]) + layer.offset(sample.pairs[2 * p + 1]);
          const double value = around + sample.values[p] / layer.unit() - layer.shift();
          const double rounding = rounding_of_pair(kernel, layer, sample, p);
          sums.values += value * value;
          sums.rounding += rounding * rounding + epsilon * epsilon / 4 * (value * value + around * around);
          values[e] = value;
        }
        sums.centred += subset_pairs * centred_square(values);
      }
  });
  const auto n = static_cast<double>(count);
  return {sums.values / n, sums.rounding / n, sums.centred / n};
}

// Whether rows far from the centre are near each other, such as attention-sink tokens: if |a|^2 and |b|^2 are thousands
// of squared bandwidths, float32 leaves no digits of |a - b|^2, in kernel values as in a median.
bool far_rows_are_near(const Representation& layer, double bandwidth, const Execution& execution) {
  constexpr std::size_t most_pairs = 512;
  const std::vector<double>& norms = layer.norms();
  const double unit = bandwidth * layer.scale(), limit = 0x1p10 * unit * unit;
  std::vector<std::int64_t> far;
  for (std::size_t i = 0; i < norms.size(); i++)
    if (norms[i] > limit) far.push_back(static_cast<std::int64_t>(i));
  if (far.size() < 2) return false;
  const auto norm2 = [&](std::int64_t row) { return norms[static_cast<std::size_t>(row)]; };
  std::sort(far.begin(), far.end(),
            [&](std::int64_t a, std::int64_t b) { return std::pair(norm2(a), a) < std::pair(norm2(b), b); });
  std::vector<std::int64_t> pairs;  // of rows of about equal length
  const std::size_t step = std::max<std::size_t>(1, far.size() / (most_pairs / 2));
  for (std::size_t i = 0; i < far.size(); i += step)
    for (std::size_t j = i + 1; j < std::min(i + 3, far.size()); j++) pairs.insert(pairs.end(), {far[i], far[j]});
  std::vector<double> distances(pairs.size() / 2);
  layer.ops().pair_distances(layer.view(), execution, pairs.data(), static_cast<std::int64_t>(distances.size()),
                             distances.data());
  for (std::size_t p = 0; p < distances.size(); p++)
    if (distances[p] < 8 * near_share<double> * (norm2(pairs[2 * p]) + norm2(pairs[2 * p + 1]))) return true;
  return false;
}

// The representation in float64, including its bandwidth.
Representation in_float64(const LayerInput& input, const OpTable& ops, Execution execution) {
  execution.compute = Compute::float64;
  Representation layer(input.x, ops, execution, input.kernel.rows);
  layer.resolve(input.kernel, execution);
  return layer;
}

}  // namespace

// <a, b> of centred rows is -|a|^2 / (n - 1) on average; for few and very wide rows this exceeds its variation.
bool loses_digits_of_products(std::int64_t rows, std::int64_t cols) { return cols > 256 * rows * rows; }

// Over features the sum of <x_i, x_j>^2 includes i = j, the squares. The pairs i != j contribute at least half of the
// sum over the rows that are not apart, because no square among these outweighs it; and this sum is at least (sum
// |x_i|^2)^2 / d over these rows.
bool has_digits_in_float64(const Representation& layer, Compute inputs) {
  const double least_share = inputs == Compute::float32 ? 0x1p-26 : 0x1p-12;
  const std::vector<double>& norms = layer.norms();
  const double others = norms_beside_rows_apart(norms, layer.cols()).value_or(chained_sum(norms));
  const double squares = std::inner_product(norms.begin(), norms.end(), norms.begin(), 0.0);
  return others * others / (2 * static_cast<double>(layer.cols())) >= least_share * squares;
}

namespace {
// The mean squares of the sample, and of the longest row's pairs if that row is much longer than the others.
Squares all_squares(const Representation& layer, const PairSample& sample, const Execution& execution) {
  Squares squares = mean_squares(layer, sample);
  const std::vector<double>& norms = layer.norms();
  const auto longest = std::max_element(norms.begin(), norms.end());
  const double n = static_cast<double>(layer.rows());
  if (*longest <= 4 * std::accumulate(norms.begin(), norms.end(), 0.0) / n) return squares;
  const Squares of_longest =
      mean_squares(layer, layer.measured(sample_subsets(layer.rows(), 2, longest - norms.begin()), execution));
  squares.of_one_row = true;
  const double weight = subset_rows / n;  // it is in 2 / n of all pairs, and in 2 / subset_rows of these
  squares.values += weight * of_longest.values;
  squares.rounding += weight * of_longest.rounding;
  squares.centred += weight * of_longest.centred;
  return squares;
}

// Whether sums of float32 tiles leave fewer than six digits of an HSIC.
bool loses_digits(const Representation& layer, const PairSample& sample, const KernelSpec& spec,
                  const Execution& execution) {
  constexpr double most_error = 3e-7;
  if (std::get_if<Linear>(&spec.formula)) return loses_digits_of_products(layer.rows(), layer.cols());
  const auto* const power = std::get_if<Distance>(&spec.formula);
  if (leaves_float32(spec.formula)) return true;
  const Kernel found = layer.view().kernel;
  const auto* const polynomial = std::get_if<Polynomial>(&found);
  if (polynomial && !(polynomial->power > -60 && polynomial->most < std::ldexp(0x1p50, polynomial->power))) return true;
  const double median_scale = spec.wants_median() ? std::max(1.0, spec.scale) : 1.0;  // the median must be accurate too
  if (spec.has_bandwidth() && far_rows_are_near(layer, layer.sigma() / median_scale, execution)) return true;
  constexpr double least_value = 0x1p-100;  // the smallest normal float32 is 2^-126
  const auto is_small = [](double value) { return value < least_value; };
  if (spec.has_bandwidth() && std::all_of(sample.values.begin(), sample.values.end(), is_small)) return true;
  const Squares squares = all_squares(layer, sample, execution);
  const double n = static_cast<double>(layer.rows());
  if (squares.centred == 0) return squares.values > 0;  // only few rows differ from the others
  // Powers vary most among the pairs of that row, whose roundings then cancel least.
  const double pairs = (power || polynomial) && squares.of_one_row ? std::sqrt(n) : n;
  const double share = squares.rounding / squares.centred, of_sums = squares.values / squares.centred;
  return share + 2 * std::sqrt(share) / pairs + epsilon * of_sums / std::max(2.0, n / 256) > most_error;
}

// The median that `find` computes from a representation, in the arithmetic in which distances keep their digits.
template <class Find>
MedianDistance median_in_digits(const ArrayView& x, const OpTable& ops, Execution execution, Find find) {
  execution = for_rows(x.rows, execution);
  Representation layer(x, ops, execution);
  const double distance = find(layer, execution);
  if (layer.in_float32() && (layer.tied() > 0 || far_rows_are_near(layer, distance, execution))) {
    execution.compute = Compute::float64;
    Representation wide(x, ops, execution);
    const double found = find(wide, execution);
    return {found, wide.tied()};
  }
  return {distance, layer.tied()};
}

}  // namespace

Execution for_rows(std::int64_t rows, Execution execution) {
  if (rows <= few_rows) execution.compute = Compute::float64;
  return execution;
}

MedianDistance median_of_rows(const ArrayView& x, bool include_diagonal, const OpTable& ops,
                              const Execution& execution) {
  return median_in_digits(x, ops, execution, [&](Representation& layer, const Execution& how) {
    return layer.median_distance(include_diagonal, std::nullopt, how);
  });
}

double median_of_rows_apart(const ArrayView& x, bool lower, const OpTable& ops, const Execution& execution) {
  const auto find = [&](Representation& layer, const Execution& how) { return layer.median_of_apart(lower, how); };
  return median_in_digits(x, ops, execution, find).distance;
}

Representation resolved(const LayerInput& input, const OpTable& ops, const Execution& execution, void* dots_room) {
  const Execution own = for_rows(input.x.rows, execution);
  Representation layer(input.x, ops, own, input.kernel.rows);
  layer.keep_dots(dots_room);
  const PairSample sample = layer.resolve(input.kernel, own);
  const bool wide = layer.in_float32() && (layer.tied() > 0 || loses_digits(layer, sample, input.kernel, execution));
  return wide ? in_float64(input, ops, execution) : std::move(layer);
}

Representation in_float64(const Representation& layer, const LayerInput& input, const OpTable& ops,
                          const Execution& execution) {
  return in_float64({input.x, input.kernel.with_sigma(layer.sigma())}, ops, execution);
}

}  // namespace gramless
