// Distances of a tile's pairs of rows from their dot products. The rounding error of a dot product is relative to the
// rows' lengths, and the root enlarges it: where the distance is small against the lengths, it is computed from the
// rows' differences.
#pragma once

#include <cmath>

#include "engine/tile/tile.hpp"
#include "engine/walk/walk.hpp"
#include "epilogues/near_share.hpp"
#include "ops/dispatch/op_table.hpp"
#include "support/dtype.hpp"

namespace gramless {
inline namespace GRAMLESS_ISA {

// A row of each side as it is stored: differences of stored numbers are exact in float64, those of centred numbers are
// rounded.
template <class Use>
void visit_difference(const ArrayView& x, std::int64_t i, std::int64_t j, Use use) {
  visit_dtype(x.dtype, [&]<class Stored>() {
    const char *a = x.row(i), *b = x.row(j);
    for (std::int64_t k = 0; k < x.cols; k++, a += x.col_stride, b += x.col_stride)
      use(k, (load_element<double, Stored>(a) - load_element<double, Stored>(b)) * x.scale);
  });
}

// Offsets that are added to the kernel values of a row and of a column, (n) in the order of storage, behind the
// statistics of the rows and their padding; null: none.
template <class T>
const T* row_offsets(const LayerView& layer) {
  if (!std::holds_alternative<Distance>(layer.kernel)) return nullptr;
  return static_cast<const T*>(layer.row_stats) + layer.x.rows + stat_padding;
}

// Whether a pair takes so long that interrupts are checked after each pair.
inline bool is_long(const ArrayView& x) { return x.cols >= 4096; }

inline double squared_difference(const ArrayView& x, std::int64_t i, std::int64_t j) {
  double sum = 0;
  visit_difference(x, i, j, [&](std::int64_t, double difference) { sum += difference * difference; });
  return sum;
}

// values[j] = sqrt(2 values[j]), one instruction for a vector of them: its sources are compiled with -fno-math-errno.
template <class T>
void replace_by_roots(T* values, int count) {
  for (int j = 0; j < count; j++) values[j] = std::sqrt(2 * values[j]);
}

// With at most this many columns all distances are computed from differences: computed from dot products, a value of a
// narrow kernel would have four times the error of code that subtracts.
constexpr int few_columns = 32;

// Half the squared distances of a tile's rows. The differences are of stored numbers: T must hold those.
template <class T, class Stored>
void subtract_rows(const ArrayView& x, std::int64_t first_row, std::int64_t first_column, const Tile<T>& tile) {
  constexpr int width = lanes<T>, vectors = 4, piece = vectors * width;
  using V = Vector<T>;
  const auto value = [&](std::int64_t i, int k) {
    return static_cast<T>(load_element<double, Stored>(x.row(i) + k * x.col_stride) * x.scale);
  };
  const int depth = static_cast<int>(x.cols);
  alignas(64) T columns[few_columns * piece];
  for (int first = 0; first < tile.cols; first += piece) {
    const int last = tile.cols - 1 - first;
    for (int j = 0; j < piece; j++)
      for (int k = 0; k < depth; k++) columns[k * piece + j] = value(first_column + first + std::min(j, last), k);
    const int present = std::min(vectors, (tile.stride - first) / width);
    const int rows = tile.diagonal ? std::min(tile.rows, first + piece) : tile.rows;
    for (int i = 0; i < rows; i++) {
      V sums[vectors] = {};
      for (int k = 0; k < depth; k++) {
        const V of_row = splat(value(first_row + i, k));
        for (int v = 0; v < vectors; v++) {
          const V difference = of_row - load<V>(columns + k * piece + v * width);
          sums[v] += difference * difference;
        }
      }
      for (int v = 0; v < present; v++) store(tile.row(i) + first + v * width, sums[v] * T(0.5));
    }
  }
}

// Whether all distances are computed from differences.
template <class T>
bool subtract_few_columns(const ArrayView& x, std::int64_t first_row, std::int64_t first_column, const Tile<T>& tile) {
  if (x.cols > few_columns) return false;
  bool subtracted = false;
  visit_dtype(x.dtype, [&]<class Stored>() {
    if constexpr (sizeof(Stored) <= sizeof(T)) {
      subtract_rows<T, Stored>(x, first_row, first_column, tile);
      subtracted = true;
    }
  });
  return subtracted;
}

// Replaces dot products by distances. first_row, first_column: of the tile's; stats: half the squared lengths of its
// rows and columns, rounded as dot products are, so that equal rows are at distance 0.
template <class T>
void measure_distances(const ArrayView& x, std::int64_t first_row, std::int64_t first_column, const Tile<T>& tile,
                       const T* row_stats, const T* column_stats) {
  const T share = near_share_of<T>(x.cols);
  const bool subtracted = subtract_few_columns(x, first_row, first_column, tile);
  for (int i = 0; i < tile.rows; i++) {
    if (i > 0 && stop_requested()) return;
    T* const values = tile.row(i);
    const int first = tile.diagonal ? i + 1 : 0;
    const auto is_near = [&](int j) { return values[j] < share * (row_stats[i] + column_stats[j]); };
    int near = 0;
    for (int j = first; j < tile.cols; j++) {
      if (!subtracted) values[j] = (row_stats[i] + column_stats[j]) - values[j];
      near += is_near(j);
    }
    for (int j = first; near > 0 && j < tile.cols; j++) {
      if (!is_near(j)) continue;
      if (is_long(x) && stop_requested()) return;
      values[j] = static_cast<T>(squared_difference(x, first_row + i, first_column + j) / 2);
      near--;
    }
    if (first < tile.cols) replace_by_roots(values + first, tile.cols - first);
  }
}

}  // namespace GRAMLESS_ISA
}  // namespace gramless
