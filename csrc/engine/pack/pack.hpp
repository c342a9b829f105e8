// From the caller's matrix to the layout the register tiles read: panels of `Width` rows, depth-major, centred,
// converted to the compute type, rows past the end zero. Every layout and dtype packs to bitwise-identical panels.
#pragma once

#include "engine/pack/read_units.hpp"
#include "engine/pack/transpose.hpp"
#include "engine/pack/widen.hpp"
#include "engine/tile/tile.hpp"
#include "support/dtype.hpp"

namespace gramless {
inline namespace GRAMLESS_ISA {

// A matrix whose rows are multiplied. The centre is split in two so that an offset of 1000 costs no digits in float32:
// x - high is exact near the offset, and low carries the rest.
template <class T>
struct CenteredRows {
  ArrayView x;                     // (rows, depth)
  const T* center_high = nullptr;  // (depth)
  const T* center_low = nullptr;
};

namespace detail {

// Rows of `x` as addresses of unit-stride T: the caller's own memory where it has that form, else a converted copy.
template <class T, int Side, int Depth>
GRAMLESS_INLINE void read_rows(const ArrayView& x, std::int64_t first_row, int count, std::int64_t first, int depth,
                               T (&copy)[Side][Depth], const T* (&rows)[Side]) {
  constexpr Dtype own = sizeof(T) == 4 ? Dtype::float32 : Dtype::float64;
  for (int r = 0; r < count; r++) {
    const char* source = x.row(first_row + r) + first * x.col_stride;
    if (x.of_unit_rows()) {
      read_units(x, first_row + r, first, depth, copy[r]);
      rows[r] = copy[r];
      continue;
    }
    if (x.dtype == own && x.col_stride == static_cast<std::int64_t>(sizeof(T))) {
      rows[r] = reinterpret_cast<const T*>(source);  // possibly misaligned: only ever read through memcpy
      continue;
    }
    visit_dtype(x.dtype, [&]<class Stored>() {
      if constexpr (sizeof(T) == 4 && (std::is_same_v<Stored, Half> || std::is_same_v<Stored, BFloat16>))
        if (x.col_stride == 2) return widen_row(source, depth, copy[r], Stored());
      for (int k = 0; k < depth; k++) copy[r][k] = load_element<T, Stored>(source + k * x.col_stride);
    });
    rows[r] = copy[r];
  }
}

// The widest square block of rows that a panel is made of.
template <class T, int Width>
constexpr int block_side = Width % lanes<T> == 0 ? lanes<T>
                           : Width % 8 == 0      ? 8
                           : Width % 4 == 0      ? 4
                           : Width % 2           ? 1
                                                 : 2;

// Rows of one square block side by side, from their addresses; those from `present` on are zero.
template <class T, int Side>
class BlockRows {
 public:
  using Block = Vector<T, Side>;

  GRAMLESS_INLINE BlockRows(const CenteredRows<T>& source, const T* const (&rows)[Side], int present,
                            std::int64_t first)
      : source_(source), rows_(rows), present_(present), first_(first), scale_(static_cast<T>(source.x.scale)) {}

  // Columns [k, k + Side), transposed.
  template <bool Whole>
  GRAMLESS_INLINE void transposed(int k, Block (&block)[Side]) const {
#pragma GCC unroll 16
    for (int r = 0; r < Side; r++) {
      if (!Whole && r >= present_)
        block[r] = Block{};
      else
        block[r] = (load<Block>(rows_[r] + k) * scale_ - load<Block>(source_.center_high + first_ + k)) -
                   load<Block>(source_.center_low + first_ + k);
    }
    transpose<Side / 2>(block);
  }

  GRAMLESS_INLINE T entry(int r, int k) const {
    if (r >= present_) return T(0);
    return (load<T>(rows_[r] + k) * scale_ - source_.center_high[first_ + k]) - source_.center_low[first_ + k];
  }

 private:
  const CenteredRows<T>& source_;
  const T* const (&rows_)[Side];
  int present_;
  std::int64_t first_;
  T scale_;
};

template <class T, int Width>
GRAMLESS_INLINE void pack_transposed(const CenteredRows<T>& source, std::int64_t first_row, int count,
                                     std::int64_t first, int depth, T* panel) {
  constexpr int side = block_side<T, Width>;
  alignas(64) T copy[side][TileShape<T>::depth];
  const T* rows[side] = {};
  for (int r0 = 0; r0 < Width; r0 += side) {
    const int present = std::clamp(count - r0, 0, side);
    read_rows(source.x, first_row + r0, present, first, depth, copy, rows);
    const BlockRows<T, side> block_rows(source, rows, present, first);
    int k = 0;
    for (; k + side <= depth; k += side) {
      Vector<T, side> block[side];
      if (present == side)
        block_rows.template transposed<true>(k, block);
      else
        block_rows.template transposed<false>(k, block);
#pragma GCC unroll 16
      for (int kk = 0; kk < side; kk++) store(panel + (k + kk) * Width + r0, block[kk]);
    }
    for (; k < depth; k++)
      for (int r = 0; r < side; r++) panel[k * Width + r0 + r] = block_rows.entry(r, k);
  }
}

// Rows adjacent in memory (a transposed view): a panel's row is copied, not gathered.
template <class T, int Width>
GRAMLESS_INLINE void pack_adjacent(const CenteredRows<T>& source, std::int64_t first_row, std::int64_t first, int depth,
                                   T* panel) {
  constexpr int side = block_side<T, Width>, pieces = Width / side;
  using Block = Vector<T, side>;
  const char* column = source.x.row(first_row) + first * source.x.col_stride;
  const T scale = static_cast<T>(source.x.scale);
  for (int k = 0; k < depth; k++, column += source.x.col_stride) {
#pragma GCC unroll 4
    for (int p = 0; p < pieces; p++) {
      const Block values = load<Block>(reinterpret_cast<const T*>(column) + p * side) * scale;
      store(panel + k * Width + p * side, (values - source.center_high[first + k]) - source.center_low[first + k]);
    }
  }
}

}  // namespace detail

// Packs rows [first_row, first_row + count) and columns [first, first + depth) into panels (panel, depth, Width).
template <int Width, class T>
void pack(const CenteredRows<T>& source, std::int64_t first_row, int count, std::int64_t first, int depth, T* packed) {
  constexpr Dtype own = sizeof(T) == 4 ? Dtype::float32 : Dtype::float64;
  const bool adjacent = source.x.dtype == own && source.x.row_index == nullptr && !source.x.of_unit_rows() &&
                        source.x.row_stride == static_cast<std::int64_t>(sizeof(T)) &&
                        source.x.col_stride != static_cast<std::int64_t>(sizeof(T));
  const std::ptrdiff_t panel = static_cast<std::ptrdiff_t>(Width) * depth;
  const int copied = adjacent ? count / Width * Width : 0;
  constexpr int run = 8;  // columns at a time: rows of 2 KiB and the like share few sets of L1
  for (int k = 0; k < depth && copied > 0; k += run)
    for (int r = 0; r < copied; r += Width)
      detail::pack_adjacent<T, Width>(source, first_row + r, first + k, std::min(run, depth - k),
                                      packed + r / Width * panel + k * Width);
  for (int r = copied; r < count; r += Width)
    detail::pack_transposed<T, Width>(source, first_row + r, count - r, first, depth, packed + r / Width * panel);
}

}  // namespace GRAMLESS_ISA
}  // namespace gramless
