// Sums down the columns of a tile in registers.
#pragma once

#include "engine/instructions/primitives.cuh"

namespace gramless::cuda {

namespace detail {

// Two lanes that differ in one bit exchange the sums of `Kept` columns and keep those of as many others.
template <int Kept, int Bit, class T>
__device__ __forceinline__ void add_lanes(T (&sums)[8], int& first) {
  const bool second = (static_cast<int>(threadIdx.x) & Bit) != 0;
#pragma unroll
  for (int c = 0; c < Kept; c++) {
    const T low = sums[c], high = sums[c + Kept];
    sums[c] = (second ? high : low) + __shfl_xor_sync(all_lanes, second ? low : high, Bit);
  }
  if (second) first += Kept;
}

}  // namespace detail

// Sums at(r, c) over a warp's rows. One lane calls use(column of the tile, sum) for each column. Eight columns together
// take 7 shuffles; one by one they would take 24.
template <class Tile, class At, class Use>
__device__ __forceinline__ void for_each_column_sum(const Tile& tile, At at, Use use) {
  static_assert(Tile::own_cols % 8 == 0);
#pragma unroll
  for (int first = 0; first < Tile::own_cols; first += 8) {
    typename Tile::Value sums[8];
#pragma unroll
    for (int c = 0; c < 8; c++) {
      sums[c] = 0;
#pragma unroll
      for (int r = 0; r < Tile::own_rows; r++) sums[c] += at(r, first + c);
    }
    int own = first;
    detail::add_lanes<4, 16>(sums, own);
    detail::add_lanes<2, 8>(sums, own);
    detail::add_lanes<1, 4>(sums, own);
    use(tile.col(own), sums[0]);
  }
}

}  // namespace gramless::cuda
