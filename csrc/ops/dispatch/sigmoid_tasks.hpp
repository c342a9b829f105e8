// The task of the sigmoid loss. Plain data, as in op_table.hpp; void pointers are to the compute type.
#pragma once

#include "ops/dispatch/contrast_tasks.hpp"
#include "reductions/sigmoid_sums.hpp"

namespace gramless {

// One walk for the sums of all rows, to which tiles add, and for both gradients: row_grads += W G columns and
// column_grads += (W G)' rows, with G the slopes.
struct SigmoidPairsTask {
  PairProblem pairs;  // not symmetric; scale is that of the logits
  double bias;        // of the logits
  // The column of row 0's positive; row i's is i columns further. If there is no such column, the row has no positive.
  std::int64_t first_positive;
  SigmoidSums sums;
  const void* weights;        // (rows): the diagonal of W
  void* const* row_grads;     // for every block its first row, (rows, width), or null
  void* const* column_grads;  // (columns, width)
};

}  // namespace gramless
