// The similarity at which each anchor's hardest negatives begin, or its easiest end: exclusion by fraction for given
// rows.
#include <limits>

#include "ops/contrast/contrast.hpp"
#include "ops/contrast/contrast_rows.hpp"

namespace gramless {
namespace {

std::vector<double> limits_of(const ContrastRows& anchors, std::int64_t count, const ContrastRows& keys, bool symmetric,
                              const HardestNegatives& which, const OpTable& ops, const Execution& execution) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  std::vector<double> limits(static_cast<std::size_t>(anchors.rows()), which.easiest ? -infinity : infinity);
  PairProblem pairs;
  pairs.rows = anchors.side();
  pairs.columns = keys.side();
  pairs.symmetric = symmetric;
  pairs.width = anchors.width();
  ops.hardest_limits({pairs, count, which.fraction, which.tie, which.easiest, limits.data()}, execution);
  return limits;
}

}  // namespace

HardestLimits hardest_limits(const ContrastProblem& problem, const HardestNegatives& which, const OpTable& table,
                             const Execution& execution) {
  const OpTable& ops = table_for(problem.normalize, table);
  const ContrastRows anchors(problem.anchors, problem.anchor_groups, {}, {}, problem.normalize, ops, execution);
  if (problem.keys.empty()) return {limits_of(anchors, anchors.rows(), anchors, true, which, ops, execution), {}};
  const ContrastRows keys(problem.keys, problem.key_groups, {}, {}, problem.normalize, ops, execution);
  // Keys of later parts are a queue, not anchors.
  const std::int64_t key_anchors = which.of_keys ? problem.keys[0].rows : 0;
  return {limits_of(anchors, anchors.rows(), keys, false, which, ops, execution),
          limits_of(keys, key_anchors, anchors, false, which, ops, execution)};
}

}  // namespace gramless
