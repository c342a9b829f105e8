// Epilogue of the backward of HSIC: derivatives with respect to kernel values become the weights that rows are
// multiplied by.
#pragma once

#include "engine/tile/tile.hpp"
#include "epilogues/near_share.hpp"
#include "epilogues/tile_kernels.hpp"

namespace gramless {
inline namespace GRAMLESS_ISA {

// Replaces every dot product by its kernel value.
template <class T, class Kernel>
void evaluate_kernel(const Tile<T>& tile, const Kernel kernel, const T* row_stats, const T* column_stats) {
  using Values = Bundle<T, 1>;
  const int cols = tile.cols;
  for (int i = 0; i < tile.rows; i++) {
    T* const values = tile.row(i);
    const Values stat{splat(row_stats[i])};
    for (int j = 0; j < cols; j += lanes<T>)
      store(values + j,
            kernel(Values{load<Vector<T>>(values + j)}, stat, Values{load<Vector<T>>(column_stats + j)}).parts[0]);
  }
}

template <class Slope>
constexpr bool is_of_dot = requires { Slope::of_dot; };

// The derivative of the loss with respect to layer a's kernel value of a pair:
//   sum_b coefficients[b] * value_b + row_terms[i] + column_terms[j] + constant
template <class T>
struct KernelDerivative {
  const T* values;  // (layers, tile) kernel values of all layers
  std::int64_t layers, layer_stride;
  const T* coefficients;  // (layers)
  const T *row_terms, *column_terms;
  T constant;
};

// For kernels of the distance itself: a tile's distances, and half the squared lengths of its rows and columns. For
// polynomials its dot products, and the numbers of its rows and columns.
template <class T>
struct PairDistances {
  const T *values, *row_stats, *column_stats;
  T share;

  // As in ops/gram/near_distances.hpp.
  GRAMLESS_INLINE bool is_near(int i, int j, std::int64_t entry) const {
    return values[entry] * values[entry] * T(0.5) < share * (row_stats[i] + column_stats[j]);
  }
  GRAMLESS_INLINE Vector<Bits<T>> are_near(int i, int j, std::int64_t entry) const {
    const Vector<T> distance = load<Vector<T>>(values + entry);
    return distance * distance * T(0.5) < share * (row_stats[i] + load<Vector<T>>(column_stats + j));
  }
};

// weights = derivative * slope; with `self`, 0 on the diagonal. Sums of the weights' rows and columns are added, except
// those of pairs near each other, whose weights multiply differences of rows.
template <class T, class Slope>
void weigh_pairs(const Tile<T>& weights, bool self, const KernelDerivative<T>& derivative, const T* own,
                 const PairDistances<T>& distances, const Slope slope, double* row_sums, double* column_sums) {
  using V = Vector<T>;
  constexpr int width = lanes<T>;
  V columns[TileShape<T>::rows / width] = {};
  for (int i = 0; i < weights.rows; i++) {
    const std::ptrdiff_t row = static_cast<std::ptrdiff_t>(i) * weights.stride;
    const V row_term = splat(derivative.row_terms[i] + derivative.constant);
    V sum{};
    for (int j = 0; j < weights.cols; j += width) {
      V by_value = row_term + load<V>(derivative.column_terms + j);
      for (std::int64_t b = 0; b < derivative.layers; b++)
        by_value += derivative.coefficients[b] * load<V>(derivative.values + b * derivative.layer_stride + row + j);
      const Vector<Bits<T>> column = lane_numbers<T>() + static_cast<Bits<T>>(j);
      Vector<Bits<T>> owned = column < static_cast<Bits<T>>(weights.cols);
      if (self) owned &= column != static_cast<Bits<T>>(i);
      V weight, to_column;
      if constexpr (is_of_dot<Slope>) {
        const auto found = slope(load<V>(distances.values + row + j), splat(distances.row_stats[i]),
                                 load<V>(distances.column_stats + j));
        store(weights.row(i) + j, owned ? by_value * found.slope : V{});
        weight = owned ? by_value * found.beyond_row : V{};
        to_column = owned ? by_value * found.beyond_column : V{};
      } else if constexpr (Slope::of_root) {
        weight = owned ? by_value * slope(load<V>(own + row + j), load<V>(distances.values + row + j)) : V{};
        store(weights.row(i) + j, weight);
        weight = to_column = distances.are_near(i, j, row + j) ? V{} : weight;
      } else {
        weight = to_column = owned ? by_value * slope(load<V>(own + row + j)) : V{};
        store(weights.row(i) + j, weight);
      }
      sum += weight;
      columns[j / width] += to_column;
    }
    row_sums[i] += horizontal_sum<T>(sum);
  }
  if (self) return;
  for (int j = 0; j < weights.cols; j++) column_sums[j] += static_cast<double>(columns[j / width][j % width]);
}

}  // namespace GRAMLESS_ISA
}  // namespace gramless
