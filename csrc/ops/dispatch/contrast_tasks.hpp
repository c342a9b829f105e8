// The tasks of the contrastive losses: tiles of anchors with keys, softmax sums forward, rows of gradients backward.
// Plain data, as in op_table.hpp; void pointers are to the compute type.
#pragma once

#include <cstdint>

#include "reductions/anchor_sums.hpp"
#include "support/array.hpp"

namespace gramless {

// Arrays that are read in vectors are readable this far past their last entry.
constexpr std::int64_t vector_padding = 64;

// Rows [first, first + rows) of a side; groups lie in [lowest_group, highest_group].
struct RowBlock {
  std::int64_t first;
  int rows;
  std::int64_t lowest_group, highest_group;
};

// The rows of one side of the pairs.
struct PairSide {
  const void* z = nullptr;  // (rows, stride), columns past the width zero
  std::int64_t stride = 0;
  const RowBlock* blocks = nullptr;
  std::int64_t block_count = 0;
  const void* groups = nullptr;  // (rows) integers as wide as the compute type
  const void* limits = nullptr;  // (rows): negatives with a larger dot product are left out
  const void* floors = nullptr;  // (rows): negatives with a smaller one are left out
};

// All pairs of rows with columns or, `symmetric`, of rows with other rows; columns is then the same side again.
struct PairProblem {
  PairSide rows, columns;
  bool symmetric = true;
  bool limited = false;  // whether any limit or floor is finite
  std::int64_t width = 0;
  double scale = 1;      // logit = scale * dot product
  double shift = 0;      // of all anchors, unless running
  bool running = false;  // shifts are each anchor's largest logit
  // The dot products of all tiles, kept by one walk for the next; null: every walk multiplies.
  void* dots = nullptr;
  bool dots_known = false;
  // Limits and floors are compared with the dot products of its rows, cut into the same blocks; null: with the pairs'
  // own.
  const PairProblem* guide = nullptr;
};

// Computes z = x / max(|x|, 1e-12), or z = x, in the compute type.
struct UnitRowsTask {
  ArrayView x;
  bool normalize;
  void* z;  // (rows, stride)
  std::int64_t stride;
  double* inverse_norms;  // (rows)
};

// The dot products of row i of one side with row i of the other, bitwise as tiles have them.
struct RowProductsTask {
  PairSide x, y;
  std::int64_t width;
  void* products;  // (rows)
};

// For each of the first `anchors` rows: with k = excluded_count(fraction, its negatives), the k-th largest of their dot
// products less `tie` times the largest magnitude among them; infinity if k = 0. `easiest`: the k-th smallest plus
// that, and minus infinity if k = 0.
struct HardestLimitsTask {
  PairProblem pairs;
  std::int64_t anchors;
  double fraction, tie;
  bool easiest;
  double* limits;  // (anchors)
};

struct SoftmaxSumsTask {
  PairProblem pairs;
  bool positives_raise;      // whether running shifts cover positives too
  AnchorSums rows, columns;  // columns.shift is null where columns are no anchors
};

// Arrays of the compute type with an entry per anchor: see AnchorCoefficients.
struct CoefficientArrays {
  const void *shift, *negative, *positive, *positive_mean, *positive_offset;
};

// d_rows += G columns and d_columns += G' rows, G the derivatives with respect to the logits.
struct SoftmaxGradTask {
  PairProblem pairs;
  CoefficientArrays rows, columns;
  void* const* row_grads;     // for every block its first row, (rows, width), or null
  void* const* column_grads;  // (columns, width); not read where symmetric
};

// dx from dz, in place: scale (dz - <dz, z> z) / |x| through the normalisation, else scale dz.
struct FinishGradTask {
  const void* z;  // (rows, stride)
  std::int64_t stride, rows, width;
  const double* inverse_norms;  // null: not normalised
  double scale;
  void* grad;          // (rows, width)
  double* alignments;  // (rows): scale <dz, z>
};

}  // namespace gramless
