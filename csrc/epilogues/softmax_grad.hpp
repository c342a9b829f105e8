// Epilogue of the contrastive losses' backward: dot products become the derivatives with respect to the logits.
#pragma once

#include "engine/tile/pair_masks.hpp"
#include "epilogues/logit.hpp"

namespace gramless {
inline namespace GRAMLESS_ISA {

// With e = exp(logit - shift), an anchor's share in the derivative with respect to the logit of a pair is
//   e * negative                                        for a negative,
//   (e - positive_mean) * positive - positive_offset    for a positive.
// Where there is one positive, `positive` is 0: its derivative, -sum of negatives / sum of all, is then not the
// difference of two numbers near 1, and e, which is NaN beside infinite logits, is not used.
template <class T>
struct AnchorCoefficients {
  PairRule<T> rule;
  const T* shift;  // read only where shifts are running
  const T *negative, *positive, *positive_mean, *positive_offset;
};

namespace detail {

template <class T, class V>
GRAMLESS_INLINE Vector<T> share(Vector<T> e, const PairMasks<T>& pairs, Mask<T> is_negative, V negative, V positive,
                                V mean, V offset) {
  const Vector<T> of_negative = is_negative ? e * negative : Vector<T>{};
  const Vector<T> by_weight = positive == Vector<T>{} ? Vector<T>{} : (e - mean) * positive;
  return pairs.positive ? by_weight - offset : of_negative;
}

}  // namespace detail

// The derivatives with respect to a tile's dot products, from the anchors of its rows and columns together; limits are
// compared with `compared`. All tiles may be the same one.
template <TileRule rule, bool Running, class T>
void softmax_grad(const Tile<T>& dots, const Tile<T>& compared, const Tile<T>& derivatives, bool self,
                  const Logit<T, Running> logit_of, const AnchorCoefficients<T>& rows,
                  const AnchorCoefficients<T>& columns) {
  using V = Vector<T>;
  for (int i = 0; i < dots.rows; i++) {
    const T row_shift = Running ? rows.shift[i] : logit_of.shift;
    const V negative = splat(rows.negative[i]);
    for_each_vector(dots, self, i, [&](int j, Mask<T> owned) {
      T* const entries = derivatives.row(i) + j;
      const V logit = logit_of(load<V>(dots.row(i) + j));
      const V of_row = logit_of.weight(logit, row_shift);
      const V of_column = Running ? logit_of.weight(logit, load<V>(columns.shift + j)) : of_row;
      const V column_negative = load<V>(columns.negative + j);
      if constexpr (rule == TileRule::negatives) {
        const V sum = Running ? of_row * negative + of_column * column_negative : of_row * (negative + column_negative);
        store(entries, owned ? sum : V{});
        return;
      }
      const PairMasks<T> pairs = classify<rule>(compared, i, j, rows.rule, columns.rule, owned);
      const V from_row = detail::share<T, V>(of_row, pairs, pairs.negative_of_row, negative, splat(rows.positive[i]),
                                             splat(rows.positive_mean[i]), splat(rows.positive_offset[i]));
      const V from_column = detail::share<T, V>(of_column, pairs, pairs.negative_of_column, column_negative,
                                                load<V>(columns.positive + j), load<V>(columns.positive_mean + j),
                                                load<V>(columns.positive_offset + j));
      store(entries, from_row + from_column);
    });
  }
}

}  // namespace GRAMLESS_ISA
}  // namespace gramless
