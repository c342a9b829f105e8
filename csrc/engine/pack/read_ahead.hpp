// The memory of the rows that will be packed next, prefetched a few lines at a time while the present ones multiply:
// they lie too far apart for the processor to detect a stream.
#pragma once

#include <algorithm>

#include "engine/tile/tile.hpp"
#include "support/array.hpp"

namespace gramless {
inline namespace GRAMLESS_ISA {

class ReadAhead {
 public:
  // Rows [row, row + rows) and columns [first, first + depth) of x; what lies outside x is left alone.
  ReadAhead(const ArrayView& x, std::int64_t row, int rows, std::int64_t first, int depth)
      : x_(x), row_(row), first_(first), runs_(0), run_bytes_(0) {
    rows = static_cast<int>(std::clamp<std::int64_t>(x.rows - row, 0, rows));
    if (adjacent(x.col_stride)) {
      runs_ = rows;
      run_bytes_ = depth * x.col_stride;
    } else if (adjacent(x.row_stride) && x.row_index == nullptr) {
      runs_ = rows > 0 ? depth : 0;
      run_bytes_ = rows * x.row_stride;
    }
  }

  // Prefetches part `part` of `parts`. Inline: GCC takes a function that only prefetches to have no effect and removes
  // calls of it.
  GRAMLESS_INLINE void fetch(int part, int parts) const {
    for (int run = part * runs_ / parts; run < (part + 1) * runs_ / parts; run++) {
      const bool by_row = adjacent(x_.col_stride);
      const char* memory = x_.row(by_row ? row_ + run : row_) + (by_row ? first_ : first_ + run) * x_.col_stride;
      for (std::int64_t byte = 0; byte < run_bytes_; byte += line) __builtin_prefetch(memory + byte, 0, 2);
    }
  }

 private:
  static constexpr int line = 64;
  static bool adjacent(std::int64_t stride) { return stride > 0 && stride <= 8; }

  const ArrayView& x_;
  const std::int64_t row_, first_;
  int runs_;
  std::int64_t run_bytes_;
};

// Kept packed rows that are multiplied next, those of the next chunk or, since callers keep layers one after the other,
// of the next layer. In a sweep they lie in the last-level cache. They are prefetched a line at a time.
class KeptAhead {
 public:
  KeptAhead() = default;
  template <class T>
  KeptAhead(const T* begin, const T* end)
      : next_(reinterpret_cast<const char*>(begin)), end_(reinterpret_cast<const char*>(end)) {}

  GRAMLESS_INLINE void fetch_line() {
    if (next_ >= end_) return;
    __builtin_prefetch(next_, 0, 2);
    next_ += 64;
  }

 private:
  const char *next_ = nullptr, *end_ = nullptr;
};

// What will be packed after the columns at j of the chunk at k: more columns, the next chunk, or rows of the next tile.
template <class T>
ReadAhead after(const ArrayView& y, std::int64_t first_j, int cols, int j, std::int64_t k, std::int64_t first_k,
                std::int64_t end_k) {
  using Shape = TileShape<T>;
  const auto panel = [&](std::int64_t row, std::int64_t first) {
    const int depth = static_cast<int>(std::min<std::int64_t>(Shape::depth, end_k - first));
    return ReadAhead(y, row, Shape::micro_cols, first, depth);
  };
  if (j + Shape::micro_cols < cols) return panel(first_j + j + Shape::micro_cols, k);
  if (k + Shape::depth < end_k) return panel(first_j, k + Shape::depth);
  return panel(first_j + cols, first_k);
}

}  // namespace GRAMLESS_ISA
}  // namespace gramless
