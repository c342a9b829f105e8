// The contrastive losses as algebra of an anchor's sums: scalar, float64, once per anchor, on the CPU and on CUDA.
#pragma once

#include <cmath>
#include <cstdint>

#include "support/shared.hpp"

namespace gramless {

// The loss of one anchor, and the coefficients of its gradient, from its sums.
struct Anchor {
  double shift, negative, positive, positive_logit;
  std::int64_t positives;
};

// What tiles read of an anchor in the backward pass: see softmax_grad.
struct AnchorCoefficient {
  double shift = 0, negative = 0, positive = 0, positive_mean = 0, positive_offset = 0;
};

// log(1 + e^x)
GRAMLESS_HD double softplus(double x) { return x > 0 ? x + std::log1p(std::exp(-x)) : std::log1p(std::exp(x)); }

struct AnchorLoss {
  bool positives;  // false: the loss is the log-sum-exp over all pairs
  bool decoupled;  // whether the denominator has the negatives only

  GRAMLESS_HD double value(const Anchor& a) const {
    if (!positives) return std::log(a.negative) + a.shift;
    if (a.positives == 0) return 0;
    const double mean_logit = a.positive_logit / static_cast<double>(a.positives);
    if (decoupled) return std::log(a.negative) + a.shift - mean_logit;
    if (has_no_softmax(a)) return NAN;
    if (a.positives == 1) return softplus(log_odds(a));
    return std::log(a.negative + a.positive) + a.shift - mean_logit;
  }

  GRAMLESS_HD double denominator(const Anchor& a) const {
    if (!positives || decoupled) return a.negative;
    return a.negative + (a.positives == 1 ? std::exp(a.positive_logit - a.shift) : a.positive);
  }

  // NaN for an infinite logit, like inf - inf in the textbook formula.
  GRAMLESS_HD bool has_no_softmax(const Anchor& a) const {
    return positives && !decoupled && (a.shift == INFINITY || a.positive_logit == INFINITY);
  }

  // The log odds of its negatives against its one positive.
  GRAMLESS_HD static double log_odds(const Anchor& a) { return std::log(a.negative) + a.shift - a.positive_logit; }

  // The negatives' part of the denominator: the derivative with respect to the positives' mean logit is minus this.
  GRAMLESS_HD double denominator_weight(const Anchor& a) const {
    if (decoupled) return 1;
    if (a.positives == 1) return 1 / (1 + std::exp(-log_odds(a)));
    return a.negative / (a.negative + a.positive);
  }

  GRAMLESS_HD AnchorCoefficient coefficient(const Anchor& a, double weight) const {
    AnchorCoefficient result;
    if (positives && a.positives == 0) return result;
    if (has_no_softmax(a)) return {a.shift, NAN, NAN, NAN, NAN};
    const double sum = denominator(a), count = static_cast<double>(a.positives);
    // The shifts of the sums: if the logarithm of the denominator were added and rounded, a saturated softmax would not
    // add up to 1.
    result.shift = a.shift;
    result.negative = sum == 0 ? 0 : weight / sum;
    if (!positives) return result;
    result.positive_offset = weight * denominator_weight(a) / count;
    if (a.positives == 1 || decoupled) return result;
    result.positive = result.negative;
    result.positive_mean = a.positive / count;
    return result;
  }
};

}  // namespace gramless
