// Contrastive losses: NT-Xent and its relatives, distinguished by groups (which pairs are positive) and by denominator.
#pragma once

#include <array>
#include <vector>

#include "ops/api.hpp"
#include "ops/dispatch/op_table.hpp"

namespace gramless {

// Anchors are the concatenated rows of `anchors`. They are paired with each other or, where there are keys, with the
// keys.
struct ContrastProblem {
  std::vector<ArrayView> anchors, keys;
  // Pairs of one group are positive; a log-sum-exp, which has no positives, leaves them out.
  std::vector<std::int64_t> anchor_groups, key_groups;
  // How many positives each row has; empty: counted from the groups. Given if the problem is a part of a larger one and
  // its gradients are those of the larger one's sums.
  std::vector<std::int64_t> anchor_positives, key_positives;
  double temperature = 0.5;
  bool normalize = true;
  ContrastKind kind = ContrastKind::softmax;
  std::vector<double> anchor_limits, key_limits;  // empty, or negatives above them are left out
  std::vector<double> anchor_floors, key_floors;  // empty, or negatives below them are left out

  // Empty, or for each part the rows whose cosines limits and floors are compared with, in place of dot products.
  std::vector<ArrayView> guide_anchors, guide_keys;

  bool has_positives() const { return kind != ContrastKind::log_sum_exp; }
};

// The number of rows of all parts of a side.
std::int64_t rows_in(const std::vector<ArrayView>& parts);

// Which share of the negatives is left out as the hardest or the easiest: see HardestLimitsTask.
struct HardestNegatives {
  double fraction, tie;
  bool of_keys;  // whether limits of the first keys as anchors are computed too
  bool easiest = false;
};

struct HardestLimits {
  std::vector<double> anchors, keys;
};

// The limits above which the hardest negatives lie, or the floors below which the easiest lie.
HardestLimits hardest_limits(const ContrastProblem& problem, const HardestNegatives& which, const OpTable& ops,
                             const Execution& execution);

// Softmax sums of the anchors and, where there are keys, of the keys as anchors: what the backward pass needs.
struct ContrastSums {
  std::vector<double> shift, negative, positive, positive_logit;  // (anchors + keys)

  static constexpr auto arrays() {
    return std::array{&ContrastSums::shift, &ContrastSums::negative, &ContrastSums::positive,
                      &ContrastSums::positive_logit};
  }
};

struct ContrastLosses {
  std::vector<double> rows, columns;  // (anchors), (keys)
};

// How many positives each anchor or, with `columns`, each key has; empty if no pair is positive.
std::vector<std::int64_t> positive_counts(const ContrastProblem& problem, bool columns);

// The loss of every anchor, log(sum over its denominator) - mean of its positives' logits; 0 if it has no positive.
ContrastLosses contrast_losses(const ContrastProblem& problem, const ContrastSums& sums);

}  // namespace gramless
