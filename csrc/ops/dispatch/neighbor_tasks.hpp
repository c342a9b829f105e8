// The tasks of nearest rows by cosine. Plain data, as in op_table.hpp; void pointers are to the compute type.
#pragma once

#include <cstdint>

#include "support/array.hpp"

namespace gramless {

struct LayerView;

// Candidates from tiles, for several layers with the same number of rows: for each row the `kept` other rows for which
// the dot product plus their term is largest, as a RowHeap. A layer's row_stats are those terms, -inf in the padding.
struct NearestRowsTask {
  const LayerView* layers;
  std::int64_t count, kept;
  void* const* similarities;  // (layers): (n, kept)
  std::int32_t* const* rows;  // (layers): (n, kept)
};

// The given rows, each times a power of two, which is exact; their length is then about 1, or 0.
struct ScaledRows {
  ArrayView x;
  const double *powers, *squares;  // (n): the powers, and the squared lengths of the scaled rows
};

// Computes the same, and the factor that makes a row's length 1: 0 for a row of zeros, NaN if a row holds NaN or
// infinity.
struct MeasuredRowsTask {
  ArrayView x;
  double *powers, *squares, *factors;  // (n)
};

// Chooses the k nearest rows from a row's sorted candidates, in ascending order. Candidates that rounding in tiles may
// have ordered wrongly are compared in float64.
struct ChosenRowsTask {
  ScaledRows of;
  std::int64_t k, kept;
  void* similarities;     // (n, kept)
  std::int32_t* rows;     // (n, kept)
  double noise;           // the largest rounding error of the difference of two similarities
  std::int32_t* nearest;  // (n, k)
  char* undecided;        // (n): whether a row that was not kept may be among the nearest
};

// Compares some rows i with all rows, themselves included, in float64: the `wanted` most similar ones, the most similar
// first.
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
