#include "ops/median/median.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <optional>
#include <vector>

#include "ops/median/ranked_values.hpp"
#include "ops/median/sampling.hpp"
#include "support/aligned_buffer.hpp"
#include "support/dtype.hpp"

namespace gramless {
namespace {

// Bit patterns [first, end) of nonnegative floats: an interval of distances.
struct Interval {
  std::uint64_t first, end;
};

// An interval that should contain the median, and a number that the distances inside hardly ever exceed.
struct Guess {
  Interval interval;
  double inside;
};

// Squared distances that count as 0: those up to a share of |a|^2 + |b|^2, and those up to `least`.
struct Noise {
  double share, least = 0;
};

template <class T>
class DistanceSelection {
 public:
  DistanceSelection(const LayerView& layer, const OpTable& ops, const Execution& execution)
      : layer_(layer),
        ops_(ops),
        execution_(execution),
        pairs_(layer.x.rows * (layer.x.rows - 1) / 2),
        bin_bits_(pairs_ < 1 << 13   ? 11
                  : pairs_ < 1 << 18 ? 16
                  : pairs_ < 1 << 25 ? 18
                                     : 20) {}  // more bins: fewer passes, more to clear

  std::int64_t pairs() const { return pairs_; }

  Interval all() const { return {0, bits(std::numeric_limits<double>::infinity()) + 1}; }

  // From here on counts distances within that noise as 0; returns how many there are.
  std::int64_t flush(const Noise& noise) {
    noise_ = noise.share;
    middle_ = {all(), 0, everything};
    count({bits(noise.least) + 1, all().end});
    return static_cast<std::int64_t>(below_);
  }

  // Collects the distances that probably contain the median, for `select`. No result depends on whether they are few
  // enough or the guess is right.
  void collect_middle() {
    const Guess guess = guess_median();
    middle_ = {guess.interval, 0, everything};
    if (guess.inside > most_collected) return;
    const auto room = static_cast<std::uint64_t>(std::min(guess.inside, static_cast<double>(pairs_))) + 1;
    values_ = AlignedBuffer(room * sizeof(T));
    std::uint64_t inside = 0;
    ops_.collect_distances({pass(guess.interval.first), guess.interval.end - 1, values_.data(), room, &inside},
                           execution_);
    dots_known_ = layer_.dots != nullptr;
    middle_.first_rank = below_;
    middle_.end_rank = below_ + inside;
    if (inside <= room) collected_ = RankedValues<T>({reinterpret_cast<const T*>(values_.data()), inside});
  }

  // The distance of that rank, 0 the smallest, among i < j.
  double select(std::int64_t rank) {
    if (const auto known = look_up(rank)) return *known;
    Interval search = interval_of(static_cast<std::uint64_t>(rank));
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

 private:
  using Pattern = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
  static constexpr double most_collected = 1 << 21;
  static constexpr std::uint64_t everything = std::numeric_limits<std::uint64_t>::max();

  // The interval in which the median was searched, and the ranks inside it as far as they are known.
  struct Middle {
    Interval interval;
    std::uint64_t first_rank, end_rank;
  };

  Interval interval_of(std::uint64_t rank) const {
    if (rank < middle_.first_rank) return {0, middle_.interval.first};
    if (rank >= middle_.end_rank) return {middle_.interval.end, all().end};
    return middle_.interval;
  }

  // How many distances to sample: sampling takes about as long as selecting among the collected distances, and keeps
  // these few enough. 0: all are collected.
  std::int64_t sample_size() const {
    constexpr double most = 1 << 18, least = 64;
    const double pairs = static_cast<double>(pairs_);
    const double wanted = std::max(std::pow(pairs / 40, 2.0 / 3), std::pow(4 * pairs / most_collected, 2));
    return wanted < least ? 0 : static_cast<std::int64_t>(std::min(wanted, most));
  }

  // A guess from distances of sampled pairs: three standard errors about their median.
  Guess guess_median() const {
    const Guess all_of_them{all(), static_cast<double>(pairs_)};
    const std::int64_t sampled = sample_size();
    if (sampled == 0) return all_of_them;
    const std::vector<std::int64_t> sample = sample_pairs(layer_.x.rows, sampled);
    std::vector<double> distances(static_cast<std::size_t>(sampled));
    ops_.pair_distances(layer_, execution_, sample.data(), sampled, distances.data());
    if (std::any_of(distances.begin(), distances.end(), [](double value) { return std::isnan(value); }))
      return all_of_them;
    const double size = static_cast<double>(sampled), error = 1.5 * std::sqrt(size);
    const auto value_at = [&](double place) {
      const auto wanted = distances.begin() + static_cast<std::ptrdiff_t>(place);
      std::nth_element(distances.begin(), wanted, distances.end());
      return *wanted;
    };
    // The tiles' rounding differs from the sample's: the interval is widened by the error of cancellation.
    const double slack = sizeof(T) == 4 ? 1e-6 : 1e-14;
    const double low = value_at(0.5 * size - error) * (1 - slack), high = value_at(0.5 * size + error) * (1 + slack);
    const double inside = 2 * error + 4 * std::sqrt(2 * error);  // sampled distances inside, and four standard errors
    return {{bits(low), bits(high) + 1}, static_cast<double>(pairs_) * inside / size};
  }

  static std::uint64_t bits(double distance) { return std::bit_cast<Pattern>(static_cast<T>(distance)); }
  static double value(std::uint64_t pattern) {
    return static_cast<double>(std::bit_cast<T>(static_cast<Pattern>(pattern)));
  }

  DistancePass pass(std::uint64_t first) {
    below_ = nans_ = 0;
    return {layer_, dots_known_, first, &below_, &nans_};
  }

  void count(const Interval& search) {
    const std::uint64_t width = search.end - search.first;
    shift_ = std::max(0, static_cast<int>(std::bit_width(width - 1)) - bin_bits_);
    counts_.assign(static_cast<std::size_t>(((width - 1) >> shift_) + 1), 0);
    counted_ = search;
    collected_ = {};
    ops_.count_distances(
        {pass(search.first), noise_, shift_, static_cast<std::int64_t>(counts_.size()), counts_.data()}, execution_);
    dots_known_ = layer_.dots != nullptr;
  }

  // The result, if the last pass determined the value of that rank.
  std::optional<double> look_up(std::int64_t rank) {
    const auto wanted = static_cast<std::uint64_t>(rank);
    if (nans_ > 0) return std::numeric_limits<double>::quiet_NaN();
    if (wanted < below_) return std::nullopt;
    if (wanted - below_ < collected_.size()) return static_cast<double>(collected_.at(wanted - below_));
    if (shift_ != 0) return std::nullopt;
    std::uint64_t before = below_;
    for (std::size_t bin = 0; bin < counts_.size(); bin++) {
      before += counts_[bin];
      if (before > wanted) return value(counted_.first + bin);
    }
    return std::nullopt;
  }

  const LayerView& layer_;
  const OpTable& ops_;
  const Execution& execution_;
  const std::int64_t pairs_;
  const int bin_bits_;
  AlignedBuffer values_;
  RankedValues<T> collected_;
  Middle middle_{all(), 0, everything};
  std::vector<std::uint64_t> counts_;
  std::uint64_t below_ = 0, nans_ = 0;
  Interval counted_{0, 1};
  int shift_ = 0;
  double noise_ = 0;
  bool dots_known_ = false;
};

constexpr double narrow = 16 * 0x1p-24, wide = 16 * 0x1p-53;

// Squared distances up to this share of |a|^2 + |b|^2 are rounding: |a|^2 + |b|^2 - 2 <a, b> was measured to err by up
// to 5 roundings of |a|^2 + |b|^2, for 1 to 20,000 columns.
Noise noise_of(Compute compute) { return {compute == Compute::float32 ? narrow : wide}; }

// Also those up to the square of 8 roundings of the stored numbers: for rows near the centre that are equal up to such
// roundings, these exceed the rounding of the (short) lengths. Stored rows near the centre have about the centre's
// length.
template <class T>
Noise noise_of_storage(const LayerView& layer, Compute compute) {
  const double epsilon = computes_in_float64(layer.x.dtype) ? 0x1p-53 : 0x1p-24;
  double norm2 = 0;
  for (std::int64_t k = 0; k < layer.x.cols; k++) {
    const double center = static_cast<double>(static_cast<const T*>(layer.center_high)[k]) +
                          static_cast<double>(static_cast<const T*>(layer.center_low)[k]);
    norm2 += center * center;
  }
  const double of_numbers = 256 * epsilon * epsilon;
  return {std::max(noise_of(compute).share, of_numbers), 64 * epsilon * epsilon * 2 * norm2};
}

// How many distances are 0 up to rounding, and count as 0 from here on. Distances of the size of the stored numbers'
// rounding do so only if hardly any are a few times as large: data of few digits has distances of any small number of
// roundings.
template <class T>
std::int64_t flush_ties(DistanceSelection<T>& selection, const Noise& stored, Compute compute) {
  const std::int64_t tied = selection.flush(stored);
  if (compute == Compute::float32) return tied;  // float64 decides
  const Noise computed = noise_of(compute);
  const bool longer = stored.share > computed.share;
  const Noise larger{longer ? 64 * stored.share : computed.share, 64 * stored.least};
  const std::int64_t near = selection.flush(larger) - tied;
  return selection.flush(8 * near > tied ? computed : stored);
}

double middle(double low, double high) { return low == high ? low : 0.5 * (low + high); }  // equal infinities stay

// The median of the distances without the `tied` smallest ones; lower: of an even count the smaller of the middle two.
template <class T>
Median median_without(DistanceSelection<T>& selection, std::int64_t tied, bool lower) {
  const std::int64_t others = selection.pairs() - tied;
  const double low = selection.select(tied + (others - 1) / 2);
  return {lower ? low : middle(low, selection.select(tied + others / 2)),
          static_cast<double>(tied) / static_cast<double>(selection.pairs())};
}

template <class T>
Median median_of(const LayerView& layer, bool include_diagonal, double largest_norm, const OpTable& ops,
                 const Execution& execution) {
  DistanceSelection<T> selection(layer, ops, execution);
  selection.collect_middle();
  const std::int64_t zeros = include_diagonal ? layer.x.rows : 0, total = 2 * selection.pairs() + zeros;
  // Sorted, the diagonal's zeros come first and every other distance occurs twice.
  const auto sorted = [&](std::int64_t rank) { return rank < zeros ? 0.0 : selection.select((rank - zeros) / 2); };
  const double low = sorted((total - 1) / 2), high = sorted(total / 2);
  const Median median{middle(low, high)};
  const Noise stored = noise_of_storage<T>(layer, execution.compute);
  const double most_noise = 2 * stored.share * largest_norm + stored.least;
  if (!(high <= most_noise) || std::isinf(most_noise)) return median;  // NaN too
  const std::int64_t tied = flush_ties(selection, stored, execution.compute);
  if (tied == selection.pairs() || total / 2 >= zeros + 2 * tied) return median;
  return median_without(selection, tied, false);
}

// The median over pairs that are more than rounding apart, however few these are.
template <class T>
Median median_of_others(const LayerView& layer, bool lower, const OpTable& ops, const Execution& execution) {
  DistanceSelection<T> selection(layer, ops, execution);
  const Noise stored = noise_of_storage<T>(layer, execution.compute);
  const std::int64_t tied = flush_ties(selection, stored, execution.compute);
  return tied == selection.pairs() ? Median{0.0, 1.0} : median_without(selection, tied, lower);
}

}  // namespace

Median median_of_distances(const LayerView& layer, bool include_diagonal, double largest_norm, const OpTable& ops,
                           const Execution& execution) {
  return execution.compute == Compute::float32
             ? median_of<float>(layer, include_diagonal, largest_norm, ops, execution)
             : median_of<double>(layer, include_diagonal, largest_norm, ops, execution);
}

Median median_of_apart(const LayerView& layer, bool lower, const OpTable& ops, const Execution& execution) {
  return execution.compute == Compute::float32 ? median_of_others<float>(layer, lower, ops, execution)
                                               : median_of_others<double>(layer, lower, ops, execution);
}

}  // namespace gramless
