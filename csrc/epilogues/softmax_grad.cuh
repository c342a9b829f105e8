// Epilogue of the contrastive losses' backward on the device: dot products become the derivatives with respect to the
// logits.
#pragma once

#include "engine/tile/owned.cuh"
#include "epilogues/logit.cuh"

namespace gramless::cuda {

// Arrays (padded rows) of the tiles' type: see AnchorCoefficients. The weights among them come times `gradient_scale`.
template <class T>
struct DeviceCoefficients {
  T *shift, *negative, *positive, *positive_mean, *positive_offset;
  T* limit;  // of dot products of packed rows
};

// The coefficients of one anchor.
template <class T>
struct Coefficient {
  T shift, negative, positive, positive_mean, positive_offset, limit;

  __device__ Coefficient(const DeviceCoefficients<T>& arrays, int i)
      : shift(arrays.shift[i]),
        negative(arrays.negative[i]),
        positive(arrays.positive[i]),
        positive_mean(arrays.positive_mean[i]),
        positive_offset(arrays.positive_offset[i]),
        limit(arrays.limit[i]) {}

  // Its share in the derivative with respect to the logit of a pair, with e = exp(logit - shift), which may be NaN
  // where it is not used.
  __device__ T share(T e, T dot, bool is_positive) const {
    if (is_positive) return (positive == 0 ? T(0) : (e - positive_mean) * positive) - positive_offset;
    return dot > limit ? T(0) : e * negative;
  }
};

// What a tile needs of the anchors in its rows or columns.
template <class T>
struct TileAnchors {
  DeviceCoefficients<T> coefficients;
  const std::int32_t* groups;
};
template <class T>
__device__ TileAnchors<T> anchors_from(const DeviceCoefficients<T>& arrays, const std::int32_t* groups,
                                       std::int64_t first) {
  return {{arrays.shift + first, arrays.negative + first, arrays.positive + first, arrays.positive_mean + first,
           arrays.positive_offset + first, arrays.limit + first},
          groups + first};
}

// Calls replace(r, c, derivative with respect to the logit) for a tile's entries; for entries that the tile does not
// own it is 0. Arrays begin with the tile's first row or column. `Reread`: values are read again instead of kept in
// registers, where too few are left.
template <bool Plain, bool Running, bool Reread, class Operand, class Tile, class T, class Replace>
__device__ __forceinline__ void softmax_grad(Tile& tile, const OwnedPairs& place, const TileAnchors<T>& rows,
                                             const TileAnchors<T>& columns, const Logit<Operand> logit_of,
                                             Replace replace) {
#pragma unroll
  for (int c = 0; c < tile.own_cols; c++) {
    if (Reread) forget_loads();
    const int j = tile.col(c);
    const Coefficient<T> of_column(columns.coefficients, j);
    const std::int32_t group = columns.groups[j];
#pragma unroll
    for (int r = 0; r < tile.own_rows; r++) {
      const Coefficient<T> of_row(rows.coefficients, tile.row(r));
      const T dot = tile.at(r, c), e = logit_of.template weight<Running>(dot, of_row.shift);
      const T e_column = Running ? logit_of.template weight<Running>(dot, of_column.shift) : e;
      if constexpr (Plain) {
        replace(r, c, e * of_row.negative + e_column * of_column.negative);
      } else {
        const bool positive = group >= 0 && rows.groups[tile.row(r)] == group;
        const T sum = of_row.share(e, dot, positive) + of_column.share(e_column, dot, positive);
        replace(r, c, place.owns(tile.row(r), j) ? sum : T(0));
      }
    }
  }
}

}  // namespace gramless::cuda
