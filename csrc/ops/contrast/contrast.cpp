#include "ops/contrast/contrast.hpp"

#include <numeric>

#include "ops/contrast/contrast_loss.hpp"

namespace gramless {
namespace {

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

}  // namespace

std::int64_t rows_in(const std::vector<ArrayView>& parts) {
  return std::accumulate(parts.begin(), parts.end(), std::int64_t{0},
                         [](std::int64_t rows, const ArrayView& part) { return rows + part.rows; });
}

std::vector<std::int64_t> positive_counts(const ContrastProblem& problem, bool columns) {
  if (!problem.has_positives()) return {};
  if (!problem.anchor_positives.empty()) return columns ? problem.key_positives : problem.anchor_positives;
  if (problem.keys.empty()) return positives_among(problem.anchor_groups, problem.anchor_groups, 1);
  return columns ? positives_among(problem.key_groups, problem.anchor_groups, 0)
                 : positives_among(problem.anchor_groups, problem.key_groups, 0);
}

ContrastLosses contrast_losses(const ContrastProblem& problem, const ContrastSums& sums) {
  const AnchorLoss loss = loss_of(problem);
  ContrastLosses losses;
  const auto rows = static_cast<std::size_t>(rows_in(problem.anchors));
  const std::vector<std::int64_t> row_counts = positive_counts(problem, false),
                                  column_counts = positive_counts(problem, true);
  for (std::size_t i = 0; i < sums.shift.size(); i++) {
    const bool row = i < rows;
    const std::vector<std::int64_t>& counts = row ? row_counts : column_counts;
    const Anchor anchor = anchor_of(sums, i, counts.empty() ? 0 : counts[row ? i : i - rows]);
    (row ? losses.rows : losses.columns).push_back(loss.value(anchor));
  }
  return losses;
}

}  // namespace gramless
