// Products of packed features over a run of samples, added to a matrix in float64: register tiles with their
// accumulators in registers, and only the vectors that reach the diagonal or lie right of it.
#pragma once

#include "engine/pack/feature_panels.hpp"
#include "engine/pack/read_ahead.hpp"

namespace gramless {
inline namespace GRAMLESS_ISA {

namespace detail {

GRAMLESS_INLINE void add_to(double* sums, Vector<double> values) { store(sums, load<Vector<double>>(sums) + values); }
GRAMLESS_INLINE void add_to(double* sums, Vector<float> values) {
  constexpr int half = lanes<double>;
  constexpr auto sequence = std::make_integer_sequence<int, half>{};
  add_to(sums, to_doubles(lanes_from<0>(values, sequence)));
  add_to(sums + half, to_doubles(lanes_from<half>(values, sequence)));
}

// sums[i][j] += sum_k rows[k][i] columns[k][j], prefetching a line of what comes next every few samples. Not inlined:
// one body for each width.
template <int Vectors, class T>
__attribute__((noinline)) void add_covariances(const T* rows, const T* columns, int samples, double* sums,
                                               std::ptrdiff_t stride, KeptAhead& next) {
  constexpr int count = RegisterTile<T>::rows, width = FeaturePanel<T>::width;
  Vector<T> tile[count][Vectors];
#pragma GCC unroll 8
  for (int i = 0; i < count; i++) {
    for (int j = 0; j < Vectors * lanes<T>; j += 8) __builtin_prefetch(sums + i * stride + j, 1, 3);
#pragma GCC unroll 3
    for (int j = 0; j < Vectors; j++) tile[i][j] = Vector<T>{};
  }
  const auto add_sample = [&](const T* row_values, const T* column_values) GRAMLESS_INLINE_LAMBDA {
    Vector<T> column[Vectors];
#pragma GCC unroll 3
    for (int j = 0; j < Vectors; j++) column[j] = load<Vector<T>>(column_values + j * lanes<T>);
#pragma GCC unroll 8
    for (int i = 0; i < count; i++) {
      const Vector<T> row = splat(row_values[i]);
#pragma GCC unroll 3
      for (int j = 0; j < Vectors; j++) tile[i][j] += row * column[j];
    }
  };
  constexpr int step = 4;
  KeptAhead ahead = next;
  int k = 0;
  for (; k + step <= samples; k += step, rows += step * width, columns += step * width) {
    ahead.fetch_line();
#pragma GCC unroll 4
    for (int s = 0; s < step; s++) add_sample(rows + s * width, columns + s * width);
  }
  for (; k < samples; k++, rows += width, columns += width) add_sample(rows, columns);
  next = ahead;
#pragma GCC unroll 8
  for (int i = 0; i < count; i++)
#pragma GCC unroll 3
    for (int j = 0; j < Vectors; j++) add_to(sums + i * stride + j * lanes<T>, tile[i][j]);
}

}  // namespace detail

// Where the packed features and their products lie: feature vectors from `first_vector` on, all that were packed.
template <class T>
struct CovarianceBlock {
  const T* packed;  // (panel, samples, width)
  int samples;
  std::int64_t first_vector, vectors;  // vectors: the end of all
  double* sums;                        // row of the first row multiplied; columns from first_vector on
  std::ptrdiff_t stride;
  bool far = false;  // whether the packed features lie in the last-level cache
};

// Rows [first, end) of features, whole register tiles, with all features from their own on. wanted(row, panel): whether
// any product of a register tile's rows with a panel's columns is needed.
template <class T, class Wanted>
void add_covariance_rows(const CovarianceBlock<T>& block, std::int64_t first, std::int64_t end, Wanted wanted) {
  using Panel = FeaturePanel<T>;
  constexpr int rows = RegisterTile<T>::rows, width = Panel::width;
  const std::int64_t origin = block.first_vector * lanes<T>, panels = FeaturePanels<T>::panels(block.vectors);
  for (std::int64_t panel = first / width; panel < panels; panel++) {
    const T* const columns = block.packed + (panel - origin / width) * Panel::values;
    KeptAhead next =
        block.far && panel + 1 < panels ? KeptAhead(columns + Panel::values, columns + 2 * Panel::values) : KeptAhead();
    const int present =
        static_cast<int>(std::min<std::int64_t>(Panel::vectors, block.vectors - panel * Panel::vectors));
    for (std::int64_t i = first; i < end && i < (panel + 1) * width; i += rows) {
      if (!wanted(i, panel)) continue;
      // Whole vectors left of the diagonal are left out.
      const int left = static_cast<int>(std::max<std::int64_t>(0, i / lanes<T> - panel * Panel::vectors));
      const T* const row = block.packed + (i / width - origin / width) * Panel::values + i % width;
      double* const sums = block.sums + (i - first) * block.stride + (panel * width - origin) + left * lanes<T>;
      const T* const from = columns + left * lanes<T>;
      if (present - left == 3)
        detail::add_covariances<3>(row, from, block.samples, sums, block.stride, next);
      else if (present - left == 2)
        detail::add_covariances<2>(row, from, block.samples, sums, block.stride, next);
      else if (present - left == 1)
        detail::add_covariances<1>(row, from, block.samples, sums, block.stride, next);
    }
  }
}

}  // namespace GRAMLESS_ISA
}  // namespace gramless
