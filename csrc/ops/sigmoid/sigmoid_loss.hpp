// The sigmoid loss of pairs (SigLIP): a sum over all pairs of a row of a with a row of b, each with its own term.
#pragma once

#include <array>
#include <span>
#include <vector>

#include "ops/dispatch/op_table.hpp"

namespace gramless {

// logit = scale <a_i, b_j> + bias. Row i of a belongs to row first_positive + i of b, if there is such a row.
struct SigmoidProblem {
  ArrayView a, b;  // (n, d), (m, d)
  double scale, bias;
  bool normalize;
  std::int64_t first_positive;
};

// See SigmoidSums, (n) each. The derivatives of a loss with respect to the bias and to the scale are sum_i weight_i
// slope_i and sum_i weight_i slope_dot_i.
struct SigmoidValues {
  std::vector<double> loss, slope, slope_dot;

  static constexpr auto arrays() {
    return std::array{&SigmoidValues::loss, &SigmoidValues::slope, &SigmoidValues::slope_dot};
  }
};

// The sums of all rows and the gradients of sum_i weights_i loss_i, in one walk. Gradients are of the compute type, or
// null where none is wanted.
SigmoidValues sigmoid_loss(const SigmoidProblem& problem, std::span<const double> weights, void* grad_a, void* grad_b,
                           const OpTable& ops, const Execution& execution);

}  // namespace gramless
