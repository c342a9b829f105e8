// Contrastive losses: NT-Xent and its relatives, told apart by groups (which pairs are positive) and by denominator.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "ops/op_table.hpp"

namespace gramless {

enum class Denominator : std::uint8_t {
  all,        // negatives and positives: NT-Xent, InfoNCE, supervised contrastive
  negatives,  // decoupled
};

// Anchors are the concatenated rows of `anchors`. They meet each other or, where there are keys, the keys.
struct ContrastProblem {
  std::vector<ArrayView> anchors, keys;
  std::vector<std::int64_t> anchor_groups, key_groups;  // pairs of one group are positive
  // How many positives each has; empty: counted from the groups. Given where a problem is a part of a larger one, whose
  // sums its gradients are of.
  std::vector<std::int64_t> anchor_positives, key_positives;
  double temperature = 0.5;
  bool normalize = true;
  bool positives = true;  // false: groups are not read, the loss is the log-sum-exp over all pairs
  Denominator denominator = Denominator::all;
  std::vector<double> anchor_limits, key_limits;  // empty, or negatives beyond them are left out
};

// Which negatives are left out as the hardest: see HardestLimitsTask.
struct HardestNegatives {
  double fraction, tie;
  bool of_keys;  // of the first keys as anchors too
};

struct HardestLimits {
  std::vector<double> anchors, keys;
};

// The limits of a problem without its hardest negatives.
HardestLimits hardest_limits(const ContrastProblem& problem, const HardestNegatives& which, const OpTable& ops,
                             const Execution& execution);

// Softmax sums of the anchors and, where there are keys, of the keys as anchors: what the backward pass needs.
struct ContrastSums {
  std::vector<double> shift, negative, positive, positive_logit;  // (anchors + keys)
};

struct ContrastLosses {
  std::vector<double> rows, columns;  // (anchors), (keys)
};

ContrastSums contrast_sums(const ContrastProblem& problem, const OpTable& ops, const Execution& execution);

// Of every anchor: log(sum over its denominator) - mean of its positives' logits; 0 where it has no positive.
ContrastLosses contrast_losses(const ContrastProblem& problem, const ContrastSums& sums);

// Gradients of sum_i row_weights_i loss_i + sum_j column_weights_j column_loss_j. Each of `gradients` holds the rows of
// one of anchors, then keys, in the compute type; null where none is wanted. Returns that of the temperature.
double contrast_gradients(const ContrastProblem& problem, const ContrastSums& sums, std::span<const double> row_weights,
                          std::span<const double> column_weights, std::span<void* const> gradients, const OpTable& ops,
                          const Execution& execution);

}  // namespace gramless
