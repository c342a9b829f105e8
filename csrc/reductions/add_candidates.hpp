// Reduction of a tile of dot products to the most similar rows of its rows and of its columns.
#pragma once

#include "engine/tile/pair_masks.hpp"
#include "reductions/row_heap.hpp"

namespace gramless {
inline namespace GRAMLESS_ISA {

// The rows of one block, and their candidates so far. Vectors of `terms` and `least` are read up to the last column.
template <class T>
struct CandidateBlock {
  std::int64_t first;  // number of its first row
  const T* terms;      // a similarity is the dot product with a row plus its term
  T* least;            // what a row's next candidate must exceed: the first entry of its heap
  T* similarities;     // (rows, kept): heaps
  std::int32_t* rows;
  std::int64_t kept;

  void offer(int row, T similarity, std::int64_t other) const {
    RowHeap<T> heap{similarities + row * kept, rows + row * kept, kept};
    heap.offer(similarity, static_cast<std::int32_t>(other));
    least[row] = heap.similarities[0];
  }
};

namespace detail {

template <class T>
GRAMLESS_INLINE bool any(Mask<T> mask) {
  Bits<T> some = 0;
  for (int lane = 0; lane < lanes<T>; lane++) some |= mask[lane];
  return some != 0;
}

// Not inlined: few vectors have a candidate.
template <class T>
__attribute__((noinline)) void offer_vector(const Tile<T>& tile, int i, int j, const CandidateBlock<T>& row,
                                            const CandidateBlock<T>& column, bool both) {
  for (int c = j; c < std::min(j + lanes<T>, tile.cols); c++) {
    const T dot = tile.row(i)[c];
    const T of_row = dot + column.terms[c], of_column = dot + row.terms[i];
    if (of_row > row.least[i]) row.offer(i, of_row, column.first + c);
    if (both && of_column > column.least[c]) column.offer(c, of_column, row.first + i);
  }
}

}  // namespace detail

// `both`: the columns are other rows and get candidates too. NaN is no candidate, nor is a similarity equal to the
// least one kept: among equal ones the order of tiles decides.
template <class T>
void add_candidates(const Tile<T>& tile, const CandidateBlock<T>& row, const CandidateBlock<T>& column, bool both) {
  using V = Vector<T>;
  for (int i = 0; i < tile.rows; i++) {
    const T* const dots = tile.row(i);
    const V own_term = splat(row.terms[i]);
    V least = splat(row.least[i]);
    for (int j = 0; j < tile.cols; j += lanes<T>) {
      const V dot = load<V>(dots + j);
      Mask<T> nearer = dot + load<V>(column.terms + j) > least;
      if (both) nearer |= dot + own_term > load<V>(column.least + j);
      if (!detail::any<T>(nearer)) continue;
      detail::offer_vector(tile, i, j, row, column, both);
      least = splat(row.least[i]);
    }
  }
}

}  // namespace GRAMLESS_ISA
}  // namespace gramless
