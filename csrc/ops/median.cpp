#include "ops/median.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <optional>
#include <vector>

#include "ops/sampling.hpp"

namespace gramless {
namespace {

// Bit patterns [first, end) of nonnegative floats: an interval of distances.
struct Interval {
  std::uint64_t first, end;
};

class DistanceSelection {
 public:
  DistanceSelection(const LayerView& layer, const OpTable& ops, const Execution& execution)
      : layer_(layer),
        ops_(ops),
        execution_(execution),
        pairs_(layer.x.rows * (layer.x.rows - 1) / 2),
        bin_bits_(pairs_ < 1 << 13   ? 11
                  : pairs_ < 1 << 18 ? 16
                                     : 18) {}  // more bins: fewer passes, more to clear

  std::int64_t pairs() const { return pairs_; }

  Interval all() const { return {0, bits(std::numeric_limits<double>::infinity()) + 1}; }

  // As if distances within their rounding were 0; returns how many are.
  std::int64_t flush(double noise) {
    noise_ = noise;
    count({1, all().end});
    return static_cast<std::int64_t>(below_);
  }

  // The distance of that rank, 0 the smallest, among i < j. A guess, where it holds, saves passes; the answer is the
  // same.
  double select(std::int64_t rank, const Interval& guess) {
    if (const auto known = look_up(rank)) return *known;
    Interval search = guess;
    while (true) {
      count(search);
      if (nans_ > 0) return std::numeric_limits<double>::quiet_NaN();
      const auto wanted = static_cast<std::uint64_t>(rank);
      std::uint64_t before = below_;
      std::size_t bin = 0;
      while (bin < counts_.size() && before + counts_[bin] <= wanted) before += counts_[bin++];
      if (wanted < below_) {
        search = {0, counted_.first};
      } else if (bin == counts_.size()) {
        search = {counted_.first + (static_cast<std::uint64_t>(counts_.size()) << shift_), all().end};
      } else if (shift_ == 0) {
        return value(counted_.first + bin);
      } else {
        const std::uint64_t first = counted_.first + (static_cast<std::uint64_t>(bin) << shift_);
        search = {first, first + (std::uint64_t{1} << shift_)};
      }
    }
  }

  // Where the middle ranks should lie, from distances of sampled pairs: four standard errors of their quantile.
  Interval guess_median() const {
    constexpr std::int64_t most = 65536;
    const std::int64_t sampled = std::min(most, pairs_ / 200);
    if (sampled < 1024) return all();
    const std::vector<std::int64_t> sample = sample_pairs(layer_.x.rows, sampled);
    std::vector<double> distances(static_cast<std::size_t>(sampled));
    ops_.pair_distances(layer_, execution_, sample.data(), sampled, distances.data());
    if (std::any_of(distances.begin(), distances.end(), [](double value) { return std::isnan(value); })) return all();
    std::sort(distances.begin(), distances.end());
    const double middle = 0.5 * static_cast<double>(sampled), error = 2 * std::sqrt(static_cast<double>(sampled));
    // The tiles' rounding differs from the sample's: widened by what cancellation may cost.
    const double slack = execution_.compute == Compute::float32 ? 1e-6 : 1e-14;
    const double low = distances[static_cast<std::size_t>(middle - error)] * (1 - slack);
    const double high = distances[static_cast<std::size_t>(middle + error)] * (1 + slack);
    return {bits(low), bits(high) + 1};
  }

 private:
  std::uint64_t bits(double distance) const {
    if (execution_.compute == Compute::float64) return std::bit_cast<std::uint64_t>(distance);
    return std::bit_cast<std::uint32_t>(static_cast<float>(distance));
  }
  double value(std::uint64_t pattern) const {
    if (execution_.compute == Compute::float64) return std::bit_cast<double>(pattern);
    return static_cast<double>(std::bit_cast<float>(static_cast<std::uint32_t>(pattern)));
  }

  void count(const Interval& search) {
    const std::uint64_t width = search.end - search.first;
    shift_ = std::max(0, static_cast<int>(std::bit_width(width - 1)) - bin_bits_);
    counts_.assign(static_cast<std::size_t>(((width - 1) >> shift_) + 1), 0);
    below_ = nans_ = 0;
    counted_ = search;
    ops_.count_distances({layer_, noise_, search.first, shift_, static_cast<std::int64_t>(counts_.size()),
                          counts_.data(), &below_, &nans_},
                         execution_);
  }

  // The answer, if the last pass counted single values and saw that rank among them.
  std::optional<double> look_up(std::int64_t rank) const {
    if (shift_ != 0 || static_cast<std::uint64_t>(rank) < below_) return std::nullopt;
    std::uint64_t before = below_;
    for (std::size_t bin = 0; bin < counts_.size(); bin++) {
      before += counts_[bin];
      if (before > static_cast<std::uint64_t>(rank)) return value(counted_.first + bin);
    }
    return std::nullopt;
  }

  const LayerView& layer_;
  const OpTable& ops_;
  const Execution& execution_;
  const std::int64_t pairs_;
  const int bin_bits_;
  std::vector<std::uint64_t> counts_;
  std::uint64_t below_ = 0, nans_ = 0;
  Interval counted_{0, 1};
  int shift_ = 0;
  double noise_ = 0;
};

double middle(double low, double high) { return low == high ? low : 0.5 * (low + high); }  // equal infinities stay

}  // namespace

Median median_of_distances(const LayerView& layer, bool include_diagonal, double largest_norm, const OpTable& ops,
                           const Execution& execution) {
  // |a|^2 + |b|^2 - 2 <a, b> was measured to err by up to 5 roundings of |a|^2 + |b|^2, for 1 to 20,000 columns.
  const double noise = 16 * (execution.compute == Compute::float32 ? 0x1p-24 : 0x1p-53);
  DistanceSelection selection(layer, ops, execution);
  const std::int64_t zeros = include_diagonal ? layer.x.rows : 0, total = 2 * selection.pairs() + zeros;
  const Interval guess = selection.guess_median();
  // Sorted, the diagonal's zeros come first and every other distance stands twice.
  const auto sorted = [&](std::int64_t rank) {
    return rank < zeros ? 0.0 : selection.select((rank - zeros) / 2, guess);
  };
  const double low = sorted((total - 1) / 2), high = sorted(total / 2);
  const Median median{middle(low, high)};
  const double most_noise = 2 * noise * largest_norm;
  if (!(high <= most_noise) || std::isinf(most_noise)) return median;  // NaN too
  const std::int64_t tied = selection.flush(noise), others = selection.pairs() - tied;
  if (others == 0 || total / 2 >= zeros + 2 * tied) return median;
  const Interval all = selection.all();
  return {middle(selection.select(tied + (others - 1) / 2, all), selection.select(tied + others / 2, all)),
          static_cast<double>(tied) / static_cast<double>(selection.pairs())};
}

}  // namespace gramless
