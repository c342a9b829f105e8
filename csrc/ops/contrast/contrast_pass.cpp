#include "ops/contrast/contrast_pass.hpp"

#include <cmath>
#include <limits>
#include <numeric>

#include "ops/contrast/contrast_loss.hpp"

namespace gramless {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr std::int64_t least_kept_width = 32;  // multiplying narrower rows is faster than reading their products

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

// The groups that tiles compare. Without positives, equal groups mark pairs that are left out, and by default no two
// rows share a group; a negative group has no partner.
std::vector<std::int64_t> anchor_groups(const ContrastProblem& problem) {
  if (problem.has_positives() || !problem.anchor_groups.empty()) return problem.anchor_groups;
  std::vector<std::int64_t> groups(static_cast<std::size_t>(rows_in(problem.anchors)), 0);
  if (problem.keys.empty()) std::iota(groups.begin(), groups.end(), std::int64_t{0});
  return groups;
}

std::vector<std::int64_t> key_groups(const ContrastProblem& problem) {
  if (problem.has_positives() || !problem.key_groups.empty()) return problem.key_groups;
  return std::vector<std::int64_t>(static_cast<std::size_t>(rows_in(problem.keys)), -1);
}

}  // namespace

ContrastPass::ContrastPass(ContrastProblem problem, const OpTable& ops, const Execution& execution)
    : problem_(std::move(problem)),
      ops_(table_for(problem_.normalize, ops)),
      compute_(execution.compute),
      anchors_(problem_.anchors, anchor_groups(problem_), problem_.anchor_limits, problem_.anchor_floors,
               problem_.normalize, ops_, execution) {
  if (!problem_.keys.empty())
    keys_.emplace(problem_.keys, key_groups(problem_), problem_.key_limits, problem_.key_floors, problem_.normalize,
                  ops_, execution);
  const Shift shift = choose_shift(problem_, std::max(anchors_.rows(), columns().rows()), compute_);
  pairs_.rows = anchors_.side();
  pairs_.columns = columns().side();
  pairs_.symmetric = problem_.keys.empty();
  pairs_.limited = !problem_.anchor_limits.empty() || !problem_.anchor_floors.empty();
  pairs_.width = anchors_.width();
  pairs_.scale = 1 / problem_.temperature;
  pairs_.shift = shift.value;
  pairs_.running = shift.running;
  if (!problem_.guide_anchors.empty()) add_guide(execution);
}

void ContrastPass::add_guide(const Execution& execution) {
  guide_anchors_.emplace(plain_contrast_rows(problem_.guide_anchors, true, ops_, execution));
  if (keys_) guide_keys_.emplace(plain_contrast_rows(problem_.guide_keys, true, ops_, execution));
  guide_.rows = guide_anchors_->side();
  guide_.columns = keys_ ? guide_keys_->side() : guide_.rows;
  guide_.symmetric = pairs_.symmetric;
  guide_.width = guide_anchors_->width();
  pairs_.guide = &guide_;
}

ContrastSums ContrastPass::sums(bool keep, const Execution& execution) {
  const auto count = static_cast<std::size_t>(anchors_.rows() + (keys_ ? keys_->rows() : 0));
  ContrastSums sums;
  sums.shift.assign(count, pairs_.running ? -infinity : pairs_.shift);
  for (auto* values : {&sums.negative, &sums.positive, &sums.positive_logit}) values->assign(count, 0.0);
  const auto from = [&](std::int64_t first) {
    return AnchorSums{sums.shift.data() + first, sums.negative.data() + first, sums.positive.data() + first,
                      sums.positive_logit.data() + first};
  };
  if (keep && pairs_.width >= least_kept_width) dots_ = Workspace(ops_.dots_bytes(pairs_, execution));
  pairs_.dots = dots_.data();
  pairs_.dots_known = guide_.dots_known = false;
  if (pairs_.guide != nullptr && pairs_.dots != nullptr) guide_dots_ = Workspace(ops_.dots_bytes(guide_, execution));
  guide_.dots = guide_dots_.data();
  const bool positives_raise = problem_.kind == ContrastKind::softmax;
  ops_.softmax_sums({pairs_, positives_raise, from(0), from(keys_ ? anchors_.rows() : 0)}, execution);
  pairs_.dots_known = pairs_.dots != nullptr;
  guide_.dots_known = guide_.dots != nullptr;
  return sums;
}

double ContrastPass::gradients(const ContrastSums& sums, std::span<const double> row_weights,
                               std::span<const double> column_weights, std::span<void* const> out,
                               const Execution& execution) const {
  const auto rows = static_cast<std::size_t>(anchors_.rows());
  Coefficients of_rows(problem_, rows), of_columns(problem_, keys_ ? static_cast<std::size_t>(keys_->rows()) : 0);
  of_rows.fill(sums, 0, positive_counts(problem_, false), row_weights);
  if (!column_weights.empty()) of_columns.fill(sums, rows, positive_counts(problem_, true), column_weights);
  of_rows.store(compute_);
  of_columns.store(compute_);
  std::vector<AlignedBuffer> unwanted;
  std::vector<void*> targets(out.begin(), out.end());
  for (std::size_t p = 0; p < problem_.anchors.size(); p++)  // the temperature's gradient needs all anchors
    if (targets[p] == nullptr) targets[p] = unwanted.emplace_back(bytes(problem_.anchors[p])).data();
  const std::vector<void*> row_grads = start(anchors_, targets.data(), problem_.anchors);
  std::vector<void*> column_grads;
  if (keys_) column_grads = start(*keys_, targets.data() + problem_.anchors.size(), problem_.keys);
  const CoefficientArrays arrays = of_rows.arrays();
  ops_.softmax_grad({pairs_, arrays, keys_ ? of_columns.arrays() : arrays, row_grads.data(), column_grads.data()},
                    execution);
  const double alignment = finish(anchors_, targets.data(), problem_.anchors, execution);
  if (keys_) finish(*keys_, targets.data() + problem_.anchors.size(), problem_.keys, execution);
  // Symmetric pairs were differentiated with respect to both of their rows.
  return -alignment / problem_.temperature / (keys_ ? 1 : 2);
}

// Zeroes the gradients. Returns the first row of each block in its part's gradient, null where none is wanted.
std::vector<void*> ContrastPass::start(const ContrastRows& side, void* const* grads,
                                       const std::vector<ArrayView>& parts) const {
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

// Propagates gradients back through the normalisation; returns the sum of <dz, z>.
double ContrastPass::finish(const ContrastRows& side, void* const* grads, const std::vector<ArrayView>& parts,
                            const Execution& execution) const {
  double sum = 0;
  for (std::size_t p = 0; p < parts.size(); p++) {
    if (grads[p] == nullptr) continue;
    const std::int64_t first = side.part_ends()[p] - parts[p].rows;
    std::vector<double> alignments(static_cast<std::size_t>(parts[p].rows));
    ops_.finish_grad(
        {side.z(first), side.stride(), parts[p].rows, side.width(),
         problem_.normalize ? side.inverse_norms(first) : nullptr, pairs_.scale, grads[p], alignments.data()},
        execution);
    sum = std::accumulate(alignments.begin(), alignments.end(), sum);
  }
  return sum;
}

}  // namespace gramless
