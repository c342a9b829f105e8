// The sums of each row in the sigmoid loss. Plain data, the same type for every ISA.
#pragma once

namespace gramless {

// Arrays with an entry per row, over its pairs with all columns. With l the logit of a pair, y = 1 where it is positive
// and -1 elsewhere, its slope is -y sigmoid(-y l), the derivative of softplus(-y l) with respect to l.
struct SigmoidSums {
  double* loss = nullptr;       // sum softplus(-y l)
  double* slope = nullptr;      // sum of the slopes
  double* slope_dot = nullptr;  // the same, each times its dot product
};

}  // namespace gramless
