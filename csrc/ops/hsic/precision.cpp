#include "ops/hsic/precision.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "epilogues/near_share.hpp"
#include "ops/median/sampling.hpp"

namespace gramless {
namespace {

// To measure how well conditioned so few rows are takes as long as float64 does.
constexpr std::int64_t few_rows = 32;

// Mean squares of a tile's values v, of how far rounding may move them, and of what centring leaves of them.
struct Squares {
  double values = 0, rounding = 0, centred = 0;
};

// Of four rows, v_ij - v_il - v_mj + v_ml has no part that is of a row alone, as a centred matrix has none.
Squares mean_squares(const Representation& layer, const std::vector<std::int64_t>& pairs, const Execution& execution) {
  constexpr double epsilon = 0x1p-24;
  const LayerView view = layer.view();
  std::vector<double> distances(pairs.size() / 2);
  const auto count = static_cast<std::int64_t>(distances.size());
  layer.ops().pair_distances(view, execution, pairs.data(), count, distances.data());
  const auto norm2 = [&](std::size_t row) { return layer.norms()[static_cast<std::size_t>(pairs[row])]; };
  Squares sums;
  visit_kernel(view.kernel, [&]<class Alternative>(const Alternative& kernel) {
    if constexpr (Alternative::of_distance)
      for (std::size_t p = 0; p < distances.size(); p += 4) {
        double contrast = 0;
        for (std::size_t e = p; e < p + 4; e++) {
          const double lengths = norm2(2 * e) + norm2(2 * e + 1), distance2 = distances[e];
          const bool measured = Alternative::of_root && distance2 < near_share<double> * lengths;  // from differences
          const double moved = distance2 + epsilon * (measured ? distance2 : lengths / 2);
          const double value = kernel.value(distance2) / layer.unit() - layer.shift();
          const double rounding = (kernel.value(distance2) - kernel.value(moved)) / layer.unit();
          sums.values += value * value;
          sums.rounding += rounding * rounding + epsilon * epsilon / 4 * value * value;
          contrast += e % 4 == 0 || e % 4 == 3 ? value : -value;
        }
        sums.centred += contrast * contrast;
      }
  });
  const auto n = static_cast<double>(count);
  return {sums.values / n, sums.rounding / n, sums.centred / n};
}

// Whether rows far from the centre are near each other, as the tokens that all attention goes to are: where |a|^2 and
// |b|^2 are thousands of bandwidths, float32 leaves no digits of |a - b|^2, and their pairs have none in a median
// either.
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
  std::vector<std::int64_t> pairs;  // of rows of about one length
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

// The representation in float64, its bandwidth too.
Representation in_float64(const LayerInput& input, const OpTable& ops, Execution execution) {
  execution.compute = Compute::float64;
  Representation layer(input.x, ops, execution);
  layer.resolve(input.kernel, execution);
  return layer;
}

}  // namespace

// <a, b> of centred rows is -|a|^2 / (n - 1) on average: of few and very wide ones that outgrows how far it varies.
bool loses_digits_of_products(std::int64_t rows, std::int64_t cols) { return cols > 256 * rows * rows; }

namespace {

// Whether sums of float32 tiles leave fewer than six digits of an HSIC.
bool loses_digits(const Representation& layer, const KernelSpec& spec, const Execution& execution) {
  constexpr double most_error = 3e-7, epsilon = 0x1p-24;
  if (!is_of_distance(layer.view().kernel)) return loses_digits_of_products(layer.rows(), layer.cols());
  const double median_scale = spec.wants_median() ? std::max(1.0, spec.scale) : 1.0;  // the median is looked at too
  if (far_rows_are_near(layer, layer.sigma() / median_scale, execution)) return true;
  const std::int64_t rows = layer.rows(), sampled = std::clamp<std::int64_t>(rows / 2, 24, 48);
  const std::vector<double>& norms = layer.norms();
  const std::int64_t longest = std::max_element(norms.begin(), norms.end()) - norms.begin();
  const double n = static_cast<double>(rows);
  Squares squares = mean_squares(layer, sample_quadruples(rows, sampled, -1), execution);
  const Squares of_longest = mean_squares(layer, sample_quadruples(rows, sampled / 4, longest), execution);
  squares.values += 4 / n * of_longest.values;  // half of those pairs are of it
  squares.rounding += 4 / n * of_longest.rounding;
  squares.centred += 4 / n * of_longest.centred;
  if (squares.centred == 0) return squares.values > 0;  // few rows differ from the others
  const double share = squares.rounding / squares.centred, of_sums = squares.values / squares.centred;
  return share + 2 * std::sqrt(share) / n + epsilon * of_sums / std::max(1.0, n / 256) > most_error;
}

}  // namespace

Execution for_rows(std::int64_t rows, Execution execution) {
  if (rows <= few_rows) execution.compute = Compute::float64;
  return execution;
}

MedianDistance median_of_rows(const ArrayView& x, bool include_diagonal, const OpTable& ops, Execution execution) {
  execution = for_rows(x.rows, execution);
  Representation layer(x, ops, execution);
  const double distance = layer.median_distance(include_diagonal, std::nullopt, execution);
  if (layer.in_float32() && (layer.tied() > 0 || far_rows_are_near(layer, distance, execution))) {
    execution.compute = Compute::float64;
    Representation wide(x, ops, execution);
    const double found = wide.median_distance(include_diagonal, std::nullopt, execution);
    return {found, wide.tied()};
  }
  return {distance, layer.tied()};
}

Representation resolved(const LayerInput& input, const OpTable& ops, const Execution& execution, void* dots_room) {
  const Execution own = for_rows(input.x.rows, execution);
  Representation layer(input.x, ops, own);
  layer.keep_dots(dots_room);
  layer.resolve(input.kernel, own);
  const bool wide = layer.in_float32() && (layer.tied() > 0 || loses_digits(layer, input.kernel, execution));
  return wide ? in_float64(input, ops, execution) : std::move(layer);
}

Representation in_float64(const Representation& layer, const LayerInput& input, const OpTable& ops,
                          const Execution& execution) {
  return in_float64({input.x, input.kernel.with_sigma(layer.sigma())}, ops, execution);
}

}  // namespace gramless
