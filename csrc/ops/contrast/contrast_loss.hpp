// The anchors' coefficients that the backward pass of a contrastive loss reads, as arrays.
#pragma once

#include <span>
#include <vector>

#include "ops/contrast/contrast.hpp"
#include "ops/contrast/contrast_rows.hpp"
#include "ops/dispatch/padded_values.hpp"
#include "reductions/anchor_loss.hpp"

namespace gramless {

inline AnchorLoss loss_of(const ContrastProblem& problem) {
  return {problem.has_positives(), problem.kind == ContrastKind::decoupled};
}

inline Anchor anchor_of(const ContrastSums& sums, std::size_t i, std::int64_t positives) {
  return {sums.shift[i], sums.negative[i], sums.positive[i], sums.positive_logit[i], positives};
}

// One side's anchors, with the arrays that the tiles of the backward pass read.
class Coefficients {
 public:
  Coefficients(const ContrastProblem& problem, std::size_t anchors) : loss_(loss_of(problem)) {
    for (auto* values : {&shift_, &negative_, &positive_, &mean_, &offset_}) values->assign(anchors, 0.0);
  }

  void set(std::size_t i, const Anchor& a, double weight) {
    const AnchorCoefficient coefficient = loss_.coefficient(a, weight);
    shift_[i] = coefficient.shift;
    negative_[i] = coefficient.negative;
    positive_[i] = coefficient.positive;
    mean_[i] = coefficient.positive_mean;
    offset_[i] = coefficient.positive_offset;
  }

  // Computes the coefficients of all anchors of a side, whose sums begin at `first`.
  void fill(const ContrastSums& sums, std::size_t first, const std::vector<std::int64_t>& positives,
            std::span<const double> weights) {
    for (std::size_t i = 0; i < weights.size(); i++)
      set(i, anchor_of(sums, first + i, positives.empty() ? 0 : positives[i]), weights[i]);
  }

  void store(Compute compute) {
    std::size_t b = 0;
    for (const auto* values : {&shift_, &negative_, &positive_, &mean_, &offset_})
      buffers_[b++] = padded_values(*values, compute);
  }
  CoefficientArrays arrays() const {
    return {buffers_[0].data(), buffers_[1].data(), buffers_[2].data(), buffers_[3].data(), buffers_[4].data()};
  }

 private:
  const AnchorLoss loss_;
  std::vector<double> shift_, negative_, positive_, mean_, offset_;
  AlignedBuffer buffers_[5];
};

}  // namespace gramless
