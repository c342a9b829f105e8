// The walk of the sigmoid loss, compiled once per instruction set.
#pragma once

#include "ops/dispatch/op_table.hpp"
#include "reductions/sigmoid_sums.hpp"

namespace gramless {

// One walk for the sums of all rows, to which tiles add, and for both gradients: row_grads += W G columns and
// column_grads += (W G)' rows, with G the slopes. Void pointers are to the compute type.
struct SigmoidPairsTask {
  PairProblem pairs;  // not symmetric; scale is that of the logits
  double bias;        // of the logits
  std::int64_t
      first_positive;  // the column of row 0's positive, row i's is i further; a column that is none: no positive
  SigmoidSums sums;
  const void* weights;        // (rows): the diagonal of W
  void* const* row_grads;     // for every block its first row, (rows, width), or null
  void* const* column_grads;  // (columns, width)
};

using SigmoidPairs = void (*)(const SigmoidPairsTask& task, const Execution& execution);

// That of a table's instruction set.
SigmoidPairs sigmoid_pairs_of(const OpTable& ops);

}  // namespace gramless
