// Reduction of a tile of logits to each anchor's softmax sums: negatives and positives separately, for the tile's rows
// and, where its columns are anchors too, for those.
#pragma once

#include <cmath>
#include <limits>

#include "engine/tile/pair_masks.hpp"
#include "reductions/anchor_sums.hpp"

namespace gramless {
inline namespace GRAMLESS_ISA {

// The anchors on one side of a tile, their sums float32 within a tile and float64 across.
template <class T>
struct AnchorSide {
  PairRule<T> rule;
  AnchorSums sums;
};

// Which pairs a running shift covers: the negatives and, with `positives`, the positives.
template <class T>
GRAMLESS_INLINE Vector<T> raised(Vector<T> highest, Vector<T> logit, Mask<T> negative, Mask<T> positive,
                                 bool positives) {
  const Mask<T> counts = positives ? negative | positive : negative;
  return counts & (logit > highest) ? logit : highest;  // NaN does not raise the shift and so reaches the sums
}

inline void raise_shift(const AnchorSums& sums, std::int64_t i, double highest) {
  const double before = sums.shift[i];
  if (!(highest > before)) return;
  const double factor = std::exp(before - highest);  // 0 before the first pair
  sums.shift[i] = highest;
  sums.negative[i] *= factor;
  sums.positive[i] *= factor;
}

// What tiles subtract from logits: for an infinite shift the largest finite number, because infinity minus infinity
// would make the anchor's sum NaN.
template <class T>
T finite_shift(double shift) {
  constexpr T most = std::numeric_limits<T>::max();
  return shift > static_cast<double>(most) ? most : shift < -static_cast<double>(most) ? -most : static_cast<T>(shift);
}

// Raises the running shifts of a tile's anchors to the largest logit in it; limits are compared with `compared`.
template <TileRule rule, class T, class Logit>
void raise_shifts(const Tile<T>& tile, const Tile<T>& compared, bool self, const Logit logit_of,
                  const AnchorSide<T>& rows, const AnchorSide<T>& columns, bool columns_are_anchors, bool positives) {
  const Vector<T> lowest = splat(static_cast<T>(-INFINITY));
  Vector<T> highest_of_columns[TileShape<T>::rows / lanes<T>];
  for (auto& highest : highest_of_columns) highest = lowest;
  for (int i = 0; i < tile.rows; i++) {
    Vector<T> highest = lowest;
    for_each_vector(tile, self, i, [&](int j, Mask<T> owned) {
      const Vector<T> logit = logit_of(load<Vector<T>>(tile.row(i) + j));
      const PairMasks<T> pairs = classify<rule>(compared, i, j, rows.rule, columns.rule, owned);
      highest = raised<T>(highest, logit, pairs.negative_of_row, pairs.positive, positives);
      Vector<T>& of_column = highest_of_columns[j / lanes<T>];
      of_column = raised<T>(of_column, logit, pairs.negative_of_column, pairs.positive, positives);
    });
    T top = highest[0];
    for (int lane = 1; lane < lanes<T>; lane++) top = highest[lane] > top ? highest[lane] : top;
    raise_shift(rows.sums, i, static_cast<double>(top));
  }
  if (!columns_are_anchors) return;
  for (int j = 0; j < tile.cols; j++)
    raise_shift(columns.sums, j, static_cast<double>(highest_of_columns[j / lanes<T>][j % lanes<T>]));
}

// The sums of one row, or of a vector of columns, within a tile.
template <class T>
struct TileSums {
  Vector<T> negative{}, positive{}, positive_logit{};

  template <TileRule rule>
  GRAMLESS_INLINE void add(Vector<T> logit, Vector<T> weight, Mask<T> is_negative, Mask<T> is_positive) {
    const Vector<T> zero{};
    negative += is_negative ? weight : zero;
    if constexpr (rule == TileRule::negatives) return;
    positive += is_positive ? weight : zero;
    positive_logit += is_positive ? logit : zero;
  }
};

// Adds a tile to the sums of its rows and, where they are anchors, of its columns.
template <TileRule rule, class T, class Logit>
void add_softmax_sums(const Tile<T>& tile, const Tile<T>& compared, bool self, const Logit logit_of,
                      const AnchorSide<T>& rows, const AnchorSide<T>& columns, bool columns_are_anchors) {
  constexpr int width = lanes<T>, most = TileShape<T>::rows;
  constexpr bool running = Logit::running;
  TileSums<T> of_columns[most / width];
  alignas(64) T column_shifts[most] = {};
  if (running && columns_are_anchors)
    for (int j = 0; j < tile.cols; j++) column_shifts[j] = finite_shift<T>(columns.sums.shift[j]);
  for (int i = 0; i < tile.rows; i++) {
    const T row_shift = running ? finite_shift<T>(rows.sums.shift[i]) : logit_of.shift;
    TileSums<T> of_row;
    for_each_vector(tile, self, i, [&](int j, Mask<T> owned) {
      const Vector<T> logit = logit_of(load<Vector<T>>(tile.row(i) + j));
      const PairMasks<T> pairs = classify<rule>(compared, i, j, rows.rule, columns.rule, owned);
      const Vector<T> weight = logit_of.weight(logit, row_shift);
      of_row.template add<rule>(logit, weight, pairs.negative_of_row, pairs.positive);
      const Vector<T> column_weight = running ? logit_of.weight(logit, load<Vector<T>>(column_shifts + j)) : weight;
      of_columns[j / width].template add<rule>(logit, column_weight, pairs.negative_of_column, pairs.positive);
    });
    rows.sums.negative[i] += horizontal_sum<T>(of_row.negative);
    if constexpr (rule == TileRule::negatives) continue;
    rows.sums.positive[i] += horizontal_sum<T>(of_row.positive);
    rows.sums.positive_logit[i] += horizontal_sum<T>(of_row.positive_logit);
  }
  if (!columns_are_anchors) return;
  for (int j = 0; j < tile.cols; j++) {
    const TileSums<T>& sums = of_columns[j / width];
    columns.sums.negative[j] += static_cast<double>(sums.negative[j % width]);
    columns.sums.positive[j] += static_cast<double>(sums.positive[j % width]);
    columns.sums.positive_logit[j] += static_cast<double>(sums.positive_logit[j % width]);
  }
}

}  // namespace GRAMLESS_ISA
}  // namespace gramless
