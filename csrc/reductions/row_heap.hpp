// Reduction to the most similar rows of one row: a heap whose first entry is the least similar row that is kept.
#pragma once

#include <cstdint>
#include <utility>

#include "engine/instructions/simd.hpp"

namespace gramless {
inline namespace GRAMLESS_ISA {

// Among equally similar rows the one with the smaller number is nearer.
template <class T>
struct RowHeap {
  T* similarities;     // (size), -inf at first
  std::int32_t* rows;  // (size), -1 at first
  std::int64_t size;

  // Makes a heap of entries in any order.
  void order() const {
    for (std::int64_t at = size / 2; at-- > 0;) sink(at, size);
  }

  void offer(T similarity, std::int32_t row) const {
    if (!farther(similarities[0], rows[0], similarity, row)) return;
    similarities[0] = similarity;
    rows[0] = row;
    sink(0, size);
  }

  // Sorts the entries, the most similar first. After that they are not a heap.
  void sort() const {
    for (std::int64_t end = size - 1; end > 0; end--) {
      std::swap(similarities[0], similarities[end]);
      std::swap(rows[0], rows[end]);
      sink(0, end);
    }
  }

 private:
  static bool farther(T a, std::int32_t row_a, T b, std::int32_t row_b) { return a < b || (a == b && row_a > row_b); }

  void sink(std::int64_t at, std::int64_t count) const {
    for (std::int64_t child = 2 * at + 1; child < count; child = 2 * at + 1) {
      const std::int64_t other = child + 1;
      if (other < count && farther(similarities[other], rows[other], similarities[child], rows[child])) child = other;
      if (!farther(similarities[child], rows[child], similarities[at], rows[at])) return;
      std::swap(similarities[at], similarities[child]);
      std::swap(rows[at], rows[child]);
      at = child;
    }
  }
};

}  // namespace GRAMLESS_ISA
}  // namespace gramless
