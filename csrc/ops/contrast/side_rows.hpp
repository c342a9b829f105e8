// The rows of one side of the pairs, as tiles of dot products read them.
#pragma once

#include "engine/pack/pack.hpp"
#include "ops/dispatch/contrast_tasks.hpp"
#include "support/aligned_buffer.hpp"

namespace gramless {
inline namespace GRAMLESS_ISA {

inline std::int64_t rows_in(const PairSide& side) {
  const RowBlock& last = side.blocks[side.block_count - 1];
  return last.first + last.rows;
}

// The rows of a side, which are not centred: `zeros` (width) takes the place of a centre.
template <class T>
CenteredRows<T> uncentered(const PairSide& side, std::int64_t width, const AlignedBuffer& zeros) {
  ArrayView z;
  z.data = side.z;
  z.rows = rows_in(side);
  z.cols = width;
  z.row_stride = side.stride * static_cast<std::int64_t>(sizeof(T));
  z.col_stride = sizeof(T);
  z.dtype = sizeof(T) == 4 ? Dtype::float32 : Dtype::float64;
  const T* center = reinterpret_cast<const T*>(zeros.data());
  return {z, center, center};
}

template <class T>
AlignedBuffer zeros(std::int64_t count) {
  AlignedBuffer buffer(static_cast<std::size_t>(count) * sizeof(T));
  std::fill_n(reinterpret_cast<T*>(buffer.data()), count, T(0));
  return buffer;
}

}  // namespace GRAMLESS_ISA
}  // namespace gramless
