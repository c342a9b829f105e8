// What the backward pass of a contrastive loss reads of its anchors, as arrays.
#pragma once

#include <vector>

#include "ops/contrast.hpp"
#include "ops/contrast_rows.hpp"
#include "reductions/anchor_loss.hpp"

namespace gramless {

inline AnchorLoss loss_of(const ContrastProblem& problem) {
  return {problem.positives, problem.denominator == Denominator::negatives};
}

// One side's anchors, with the arrays the tiles of the backward pass read.
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
