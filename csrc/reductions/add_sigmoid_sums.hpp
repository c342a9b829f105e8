// Reduction of a tile of dot products to the sums of its rows in the sigmoid loss; the tile becomes its slopes.
#pragma once

#include "engine/tile/pair_masks.hpp"
#include "reductions/sigmoid_sums.hpp"

namespace gramless {
inline namespace GRAMLESS_ISA {

// Adds to the sums of a tile's rows, in the compute type within a tile's row and float64 across; positives are added
// separately, in float64. Entries become slope * weight of their row, 0 in the padding. `first_positive`: the column of
// row 0's positive, row i's is i columns further; a column outside of the tile means no positive.
template <class T, class Logit>
void add_sigmoid_sums(const Tile<T>& tile, std::int64_t first_positive, const Logit logit, const T* weights,
                      const SigmoidSums& sums) {
  using V = Vector<T>;
  for (int i = 0; i < tile.rows; i++) {
    const std::int64_t place = first_positive + i;
    const bool has_positive = place >= 0 && place < tile.cols;
    const int positive = has_positive ? static_cast<int>(place) : 0;
    T* const entries = tile.row(i);
    const T own = has_positive ? entries[positive] : T(0);
    const V weight = splat(weights[i]), zero{};
    V loss{}, slope{}, slope_dot{};
    for_each_vector(tile, has_positive, positive, [&](int j, Mask<T> negative) {
      const V dot = load<V>(entries + j);
      const auto of_pair = logit.negative(dot);
      loss += negative ? of_pair.value : zero;
      slope += negative ? of_pair.slope : zero;
      slope_dot += negative ? of_pair.slope * dot : zero;
      store(entries + j, negative ? of_pair.slope * weight : zero);
    });
    sums.loss[i] += horizontal_sum<T>(loss);
    sums.slope[i] += horizontal_sum<T>(slope);
    sums.slope_dot[i] += horizontal_sum<T>(slope_dot);
    if (!has_positive) continue;
    const auto of_pair = logit.positive(own);
    sums.loss[i] += of_pair.value;
    sums.slope[i] += of_pair.slope;
    sums.slope_dot[i] += of_pair.slope * static_cast<double>(own);
    entries[positive] = static_cast<T>(of_pair.slope) * weights[i];
  }
}

}  // namespace GRAMLESS_ISA
}  // namespace gramless
