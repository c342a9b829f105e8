// The tasks of nearest rows by cosine. Plain data, as in op_table.hpp; void pointers are to the compute type.
#pragma once

#include <cstdint>

#include "support/array.hpp"

namespace gramless {

struct LayerView;

// The tiles' answer for several layers of one number of rows: for each row the `kept` other rows whose dot product with
// it plus their own term is largest, as a RowHeap has them. A layer's row_stats are those terms, -inf in the padding.
struct NearestRowsTask {
  const LayerView* layers;
  std::int64_t count, kept;
  void* const* similarities;  // (layers): (n, kept)
  std::int32_t* const* rows;  // (layers): (n, kept)
};

// Rows as they are given, each times a power of two, which is exact: about as long as 1, or all zero.
struct ScaledRows {
  ArrayView x;
  const double *powers, *squares;  // (n): the powers, and the squared lengths of what they give
};

// The same measured, and what makes a row's length 1: 0 for a row of zeros, NaN where a row holds NaN or infinity.
struct MeasuredRowsTask {
  ArrayView x;
  double *powers, *squares, *factors;  // (n)
};

// From a row's candidates, which are sorted, to the k nearest in ascending order. Those that the tiles' rounding may
// have put in a wrong order are compared in float64.
struct ChosenRowsTask {
  ScaledRows of;
  std::int64_t k, kept;
  void* similarities;     // (n, kept)
  std::int32_t* rows;     // (n, kept)
  double noise;           // what rounding may have changed the difference of two similarities by
  std::int32_t* nearest;  // (n, k)
  char* undecided;        // (n): whether a row that was not kept may be among the nearest
};

// All rows, row i itself too, compared with some rows i in float64: the `wanted` most similar, the first one first.
struct ScannedRowsTask {
  ScaledRows of;
  const std::int32_t* scanned;
  std::int64_t count, wanted;
  std::int32_t* nearest;  // (count, wanted)
};

// Cosines of every row with k others, 0 for rows of zeros.
struct RowCosinesTask {
  ScaledRows of;
  std::int64_t k;
  const std::int32_t* rows;  // (n, k)
  double* cosines;           // (n, k)
};

}  // namespace gramless
