// The sums of each anchor of a contrastive loss. Plain data, the same type for every ISA.
#pragma once

namespace gramless {

// Arrays with an entry per anchor, in units of exp(shift).
struct AnchorSums {
  double* shift = nullptr;
  double* negative = nullptr;        // sum exp(logit - shift) over negatives
  double* positive = nullptr;        // the same over positives
  double* positive_logit = nullptr;  // sum of the positives' logits
};

}  // namespace gramless
