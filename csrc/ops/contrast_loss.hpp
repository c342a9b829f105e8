// The contrastive losses as algebra of an anchor's sums: scalar, float64, once per anchor.
#pragma once

#include <cmath>
#include <vector>

#include "ops/contrast.hpp"
#include "ops/contrast_rows.hpp"

namespace gramless {

// What the sums of one anchor mean for its loss and its gradient.
struct Anchor {
  double shift, negative, positive, positive_logit;
  std::int64_t positives;
};

// log(1 + e^x)
inline double softplus(double x) { return x > 0 ? x + std::log1p(std::exp(-x)) : std::log1p(std::exp(x)); }

class Loss {
 public:
  explicit Loss(const ContrastProblem& problem) : problem_(problem) {}

  double value(const Anchor& a) const {
    if (!problem_.positives) return std::log(a.negative) + a.shift;
    if (a.positives == 0) return 0;
    const double mean_logit = a.positive_logit / static_cast<double>(a.positives);
    if (problem_.denominator == Denominator::negatives) return std::log(a.negative) + a.shift - mean_logit;
    if (a.positives == 1) return softplus(log_odds(a));
    return std::log(a.negative + a.positive) + a.shift - mean_logit;
  }

  double denominator(const Anchor& a) const {
    if (!problem_.positives || problem_.denominator == Denominator::negatives) return a.negative;
    return a.negative + (a.positives == 1 ? std::exp(a.positive_logit - a.shift) : a.positive);
  }

  // Of its negatives against its one positive.
  static double log_odds(const Anchor& a) { return std::log(a.negative) + a.shift - a.positive_logit; }

  // The negatives' part of the denominator: what is left of -1 in the derivative by the positives' mean logit.
  double open(const Anchor& a) const {
    if (problem_.denominator == Denominator::negatives) return 1;
    if (a.positives == 1) return 1 / (1 + std::exp(-log_odds(a)));
    return a.negative / (a.negative + a.positive);
  }

 private:
  const ContrastProblem& problem_;
};

// One side's anchors, with the arrays the tiles of the backward pass read.
class Coefficients {
 public:
  Coefficients(const ContrastProblem& problem, std::size_t anchors) : loss_(problem), problem_(problem) {
    for (auto* values : {&shift_, &negative_, &positive_, &mean_, &offset_}) values->assign(anchors, 0.0);
  }

  void set(std::size_t i, const Anchor& a, double weight) {
    if (problem_.positives && a.positives == 0) return;
    const double denominator = loss_.denominator(a), count = static_cast<double>(a.positives);
    // Shifts as the sums had them: with the logarithm of the denominator added and rounded, a saturated softmax would
    // not add up to 1.
    shift_[i] = a.shift;
    negative_[i] = denominator == 0 ? 0 : weight / denominator;
    if (!problem_.positives) return;
    offset_[i] = weight * loss_.open(a) / count;
    if (a.positives == 1 || problem_.denominator == Denominator::negatives) return;
    positive_[i] = negative_[i];
    mean_[i] = a.positive / count;
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
  const Loss loss_;
  const ContrastProblem& problem_;
  std::vector<double> shift_, negative_, positive_, mean_, offset_;
  AlignedBuffer buffers_[5];
};

}  // namespace gramless
