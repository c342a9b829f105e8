// Which pairs of a tile count, and as what: a negative, a positive or left out. It knows no loss.
#pragma once

#include <type_traits>

#include "engine/tile/tile.hpp"

namespace gramless {
inline namespace GRAMLESS_ISA {

template <class T>
using Mask = Vector<Bits<T>>;

// What decides how a pair counts, for the rows of a tile or for its columns. A pair of one group is positive; a
// negative with a compared value, its dot product or a guide's, above an anchor's limit or below its floor is left out
// of that anchor's sum.
template <class T>
struct PairRule {
  const Bits<T>* groups;
  const T *limits, *floors;
};

template <class T>
struct PairMasks {
  Mask<T> positive, negative_of_row, negative_of_column;
};

// Which kinds of pairs a tile has: only negatives of both anchors; positives too; negatives that are left out too.
enum class TileRule { negatives, groups, limits };

// Calls f with the rule as a compile-time constant: what a rule does not need is neither read nor compared.
template <class F>
GRAMLESS_INLINE void with_rule(TileRule rule, F&& f) {
  switch (rule) {
    case TileRule::negatives:
      return f(std::integral_constant<TileRule, TileRule::negatives>{});
    case TileRule::groups:
      return f(std::integral_constant<TileRule, TileRule::groups>{});
    case TileRule::limits:
      return f(std::integral_constant<TileRule, TileRule::limits>{});
  }
}

template <TileRule rule, class T>
GRAMLESS_INLINE PairMasks<T> classify(const Tile<T>& compared, int i, int j, const PairRule<T>& row,
                                      const PairRule<T>& column, Mask<T> owned) {
  if constexpr (rule == TileRule::negatives) return {Mask<T>{}, owned, owned};
  const Mask<T> same = load<Mask<T>>(column.groups + j) == row.groups[i];
  const Mask<T> negative = owned & ~same;
  if constexpr (rule == TileRule::groups) return {owned & same, negative, negative};
  const Vector<T> value = load<Vector<T>>(compared.row(i) + j);
  const Mask<T> beyond_row = (value > row.limits[i]) | (value < row.floors[i]);
  const Mask<T> beyond_column =
      (value > load<Vector<T>>(column.limits + j)) | (value < load<Vector<T>>(column.floors + j));
  return {owned & same, negative & ~beyond_row, negative & ~beyond_column};
}

// Calls row(j, owned) for the vectors of a tile's row i: lanes inside the tile and, where the tile's rows are its
// columns (`self`), off its diagonal.
template <class T, class Row>
GRAMLESS_INLINE void for_each_vector(const Tile<T>& tile, bool self, int i, Row&& row) {
  constexpr int width = lanes<T>;
  const int cols = tile.cols, self_at = self ? i / width * width : -1;
  const Mask<T> numbers = lane_numbers<T>();
  int j = 0;
  for (; j + width <= cols; j += width) {
    if (j == self_at)
      row(j, numbers != static_cast<Bits<T>>(i - j));
    else
      row(j, ~Mask<T>{});
  }
  if (j == cols) return;
  const Mask<T> inside = numbers < static_cast<Bits<T>>(cols - j);
  row(j, j == self_at ? inside & (numbers != static_cast<Bits<T>>(i - j)) : inside);
}

}  // namespace GRAMLESS_ISA
}  // namespace gramless
