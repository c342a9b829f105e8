#include "ops/contrast.hpp"

#include <cmath>
#include <limits>
#include <numeric>

#include "ops/contrast_loss.hpp"
#include "ops/contrast_rows.hpp"

namespace gramless {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

std::int64_t rows_in(const std::vector<ArrayView>& parts) {
  return std::accumulate(parts.begin(), parts.end(), std::int64_t{0},
                         [](std::int64_t rows, const ArrayView& part) { return rows + part.rows; });
}

// A shift of all anchors under which no exponential of a unit row's logit leaves the compute type's normal numbers, nor
// any sum of them; none where the temperature is too small for that.
struct Shift {
  double value = 0;
  bool running = true;
};

Shift choose_shift(const ContrastProblem& problem, std::int64_t pairs, Compute compute) {
  const double highest = compute == Compute::float32 ? 85 : 700, largest_logit = 1 / std::abs(problem.temperature);
  const double value = std::max(0.0, largest_logit + std::log(static_cast<double>(pairs)) - 0.7 * highest);
  if (!problem.normalize || !(largest_logit + value <= highest)) return {};
  return {value, false};
}

// The groups tiles compare. Without positives no two rows share one; a negative group has no partner.
std::vector<std::int64_t> anchor_groups(const ContrastProblem& problem) {
  if (problem.positives) return problem.anchor_groups;
  std::vector<std::int64_t> groups(static_cast<std::size_t>(rows_in(problem.anchors)), 0);
  if (problem.keys.empty()) std::iota(groups.begin(), groups.end(), std::int64_t{0});
  return groups;
}

std::vector<std::int64_t> key_groups(const ContrastProblem& problem) {
  if (!problem.positives) return std::vector<std::int64_t>(static_cast<std::size_t>(rows_in(problem.keys)), -1);
  return problem.key_groups;
}

// How many positives each anchor has among `others`.
std::vector<std::int64_t> positives_among(const std::vector<std::int64_t>& anchors,
                                          const std::vector<std::int64_t>& others, std::int64_t self) {
  std::vector<std::int64_t> sizes(1), counts;
  for (const std::int64_t group : others) {
    if (group < 0) continue;
    if (group >= static_cast<std::int64_t>(sizes.size())) sizes.resize(static_cast<std::size_t>(group) + 1);
    sizes[static_cast<std::size_t>(group)]++;
  }
  counts.reserve(anchors.size());
  for (const std::int64_t group : anchors) {
    const bool known = group >= 0 && group < static_cast<std::int64_t>(sizes.size());
    counts.push_back(known ? sizes[static_cast<std::size_t>(group)] - self : 0);
  }
  return counts;
}

// Anchors and keys on their way through the tiles.
class ContrastPass {
 public:
  ContrastPass(const ContrastProblem& problem, const OpTable& ops, const Execution& execution)
      : problem_(problem),
        ops_(ops),
        execution_(execution),
        anchors_(problem.anchors, anchor_groups(problem), problem.anchor_limits, problem.normalize, ops, execution) {
    if (!problem.keys.empty())
      keys_.emplace(problem.keys, key_groups(problem), problem.key_limits, problem.normalize, ops, execution);
    const Shift shift = choose_shift(problem, std::max(anchors_.rows(), columns().rows()), execution.compute);
    pairs_.rows = anchors_.side();
    pairs_.columns = columns().side();
    pairs_.symmetric = problem.keys.empty();
    pairs_.limited = !problem.anchor_limits.empty();
    pairs_.width = anchors_.width();
    pairs_.scale = 1 / problem.temperature;
    pairs_.shift = shift.value;
    pairs_.running = shift.running;
  }

  ContrastSums sums() const {
    const auto count = static_cast<std::size_t>(anchors_.rows() + (keys_ ? keys_->rows() : 0));
    ContrastSums sums;
    sums.shift.assign(count, pairs_.running ? -infinity : pairs_.shift);
    for (auto* values : {&sums.negative, &sums.positive, &sums.positive_logit}) values->assign(count, 0.0);
    const auto from = [&](std::int64_t first) {
      return AnchorSums{sums.shift.data() + first, sums.negative.data() + first, sums.positive.data() + first,
                        sums.positive_logit.data() + first};
    };
    const bool positives_raise = problem_.positives && problem_.denominator == Denominator::all;
    ops_.softmax_sums({pairs_, positives_raise, from(0), from(keys_ ? anchors_.rows() : 0)}, execution_);
    return sums;
  }

  double gradients(const ContrastSums& sums, std::span<const double> row_weights,
                   std::span<const double> column_weights, std::span<void* const> out) {
    const auto rows = static_cast<std::size_t>(anchors_.rows());
    Coefficients of_rows(problem_, rows), of_columns(problem_, keys_ ? static_cast<std::size_t>(keys_->rows()) : 0);
    fill(of_rows, sums, 0, row_weights);
    if (!column_weights.empty()) fill(of_columns, sums, rows, column_weights);
    of_rows.store(execution_.compute);
    of_columns.store(execution_.compute);
    std::vector<AlignedBuffer> unwanted;
    std::vector<void*> targets(out.begin(), out.end());
    for (std::size_t p = 0; p < problem_.anchors.size(); p++)  // the temperature's needs those of all anchors
      if (targets[p] == nullptr) targets[p] = unwanted.emplace_back(bytes(problem_.anchors[p])).data();
    const std::vector<void*> row_grads = start(anchors_, targets.data(), problem_.anchors);
    std::vector<void*> column_grads;
    if (keys_) column_grads = start(*keys_, targets.data() + problem_.anchors.size(), problem_.keys);
    const CoefficientArrays arrays = of_rows.arrays();
    ops_.softmax_grad({pairs_, arrays, keys_ ? of_columns.arrays() : arrays, row_grads.data(), column_grads.data()},
                      execution_);
    const double alignment = finish(anchors_, targets.data(), problem_.anchors);
    if (keys_) finish(*keys_, targets.data() + problem_.anchors.size(), problem_.keys);
    // Symmetric pairs were differentiated by both of their rows.
    return -alignment / problem_.temperature / (keys_ ? 1 : 2);
  }

  static std::vector<std::int64_t> positive_counts(const ContrastProblem& problem, bool columns) {
    if (!problem.positives) return {};
    if (!problem.anchor_positives.empty()) return columns ? problem.key_positives : problem.anchor_positives;
    if (problem.keys.empty()) return positives_among(problem.anchor_groups, problem.anchor_groups, 1);
    return columns ? positives_among(problem.key_groups, problem.anchor_groups, 0)
                   : positives_among(problem.anchor_groups, problem.key_groups, 0);
  }

  static Anchor anchor(const ContrastSums& sums, std::size_t i, std::int64_t positives) {
    return {sums.shift[i], sums.negative[i], sums.positive[i], sums.positive_logit[i], positives};
  }

 private:
  const ContrastRows& columns() const { return keys_ ? *keys_ : anchors_; }

  std::size_t bytes(const ArrayView& part) const {
    return static_cast<std::size_t>(part.rows * part.cols) *
           (execution_.compute == Compute::float32 ? sizeof(float) : sizeof(double));
  }

  void fill(Coefficients& coefficients, const ContrastSums& sums, std::size_t first,
            std::span<const double> weights) const {
    const std::vector<std::int64_t> counts = positive_counts(problem_, first > 0);
    for (std::size_t i = 0; i < weights.size(); i++)
      coefficients.set(i, anchor(sums, first + i, counts.empty() ? 0 : counts[i]), weights[i]);
  }

  // Zeroes the gradients; the first row of each block in its part's gradient, null where none is wanted.
  std::vector<void*> start(const ContrastRows& side, void* const* grads, const std::vector<ArrayView>& parts) const {
    for (std::size_t p = 0; p < parts.size(); p++)
      if (grads[p] != nullptr) std::fill_n(static_cast<char*>(grads[p]), bytes(parts[p]), char{0});
    std::vector<void*> blocks;
    std::size_t part = 0;
    for (const RowBlock& block : side.blocks()) {
      while (block.first >= side.part_ends()[part]) part++;
      const std::int64_t within = block.first - (side.part_ends()[part] - parts[part].rows);
      const std::size_t row_bytes = bytes(parts[part]) / static_cast<std::size_t>(parts[part].rows);
      blocks.push_back(grads[part] ? static_cast<char*>(grads[part]) + static_cast<std::size_t>(within) * row_bytes
                                   : nullptr);
    }
    return blocks;
  }

  // Back through the normalisation; sum of <dz, z>.
  double finish(const ContrastRows& side, void* const* grads, const std::vector<ArrayView>& parts) const {
    double sum = 0;
    for (std::size_t p = 0; p < parts.size(); p++) {
      if (grads[p] == nullptr) continue;
      const std::int64_t first = side.part_ends()[p] - parts[p].rows;
      std::vector<double> alignments(static_cast<std::size_t>(parts[p].rows));
      ops_.finish_grad(
          {side.z(first), side.stride(), parts[p].rows, side.width(),
           problem_.normalize ? side.inverse_norms(first) : nullptr, pairs_.scale, grads[p], alignments.data()},
          execution_);
      sum = std::accumulate(alignments.begin(), alignments.end(), sum);
    }
    return sum;
  }

  const ContrastProblem& problem_;
  const OpTable& ops_;
  const Execution& execution_;
  const ContrastRows anchors_;
  std::optional<ContrastRows> keys_;
  PairProblem pairs_;
};

}  // namespace

ContrastSums contrast_sums(const ContrastProblem& problem, const OpTable& ops, const Execution& execution) {
  return ContrastPass(problem, ops, execution).sums();
}

ContrastLosses contrast_losses(const ContrastProblem& problem, const ContrastSums& sums) {
  const AnchorLoss loss = loss_of(problem);
  ContrastLosses losses;
  const auto rows = static_cast<std::size_t>(rows_in(problem.anchors));
  const std::vector<std::int64_t> row_counts = ContrastPass::positive_counts(problem, false),
                                  column_counts = ContrastPass::positive_counts(problem, true);
  for (std::size_t i = 0; i < sums.shift.size(); i++) {
    const bool row = i < rows;
    const std::vector<std::int64_t>& counts = row ? row_counts : column_counts;
    const Anchor anchor = ContrastPass::anchor(sums, i, counts.empty() ? 0 : counts[row ? i : i - rows]);
    (row ? losses.rows : losses.columns).push_back(loss.value(anchor));
  }
  return losses;
}

double contrast_gradients(const ContrastProblem& problem, const ContrastSums& sums, std::span<const double> row_weights,
                          std::span<const double> column_weights, std::span<void* const> gradients, const OpTable& ops,
                          const Execution& execution) {
  return ContrastPass(problem, ops, execution).gradients(sums, row_weights, column_weights, gradients);
}

}  // namespace gramless
