// Statistics that come before any tile: column sums, centred row norms, distances of a few sampled pairs. All in
// float64.
#include "engine/instructions/to_doubles.hpp"
#include "engine/pack/pack.hpp"
#include "engine/pack/widen.hpp"
#include "engine/product/dot_tile.hpp"
#include "engine/walk/walk.hpp"
#include "ops/dispatch/for_each_row.hpp"
#include "ops/dispatch/isa_ops.hpp"

namespace gramless {
inline namespace GRAMLESS_ISA {
namespace {

constexpr int block_rows = 256, block_cols = 64;
constexpr int rows_ahead = 8;          // prefetched where a part of each row is read: no stream for the processor
constexpr std::int64_t polled = 4096;  // steps through a row between two checks for an interrupt

// Columns [first, first + count) of a longer row.
GRAMLESS_INLINE void fetch(const ArrayView& x, std::int64_t row, std::int64_t first, int count) {
  const char* const memory = x.row(row) + first * x.col_stride;
  for (std::int64_t byte = 0; byte < count * x.col_stride; byte += 64) __builtin_prefetch(memory + byte, 0, 2);
}

// Each column's sum runs down its rows in order, whatever the layout, so every layout gives the identical sum. What is
// summed is the difference to the first row: a constant column then sums to exactly 0.
template <class Stored>
void sum_columns(const ArrayView& x, std::int64_t first_row, int rows, double* sums) {
  const bool ahead = x.cols > block_cols && x.col_stride == static_cast<std::int64_t>(sizeof(Stored));
  for (std::int64_t k0 = 0; k0 < x.cols; k0 += block_cols) {
    const int cols = static_cast<int>(std::min<std::int64_t>(block_cols, x.cols - k0));
    double partial[block_cols] = {}, origin[block_cols];
    const auto value = [&](const char* element) { return load_element<double, Stored>(element) * x.scale; };
    if (x.of_unit_rows()) {
      double values[block_cols];
      read_units(x, 0, k0, cols, origin);
      for (int r = 0; r < rows; r++) {
        read_units(x, first_row + r, k0, cols, values);
        for (int k = 0; k < cols; k++) partial[k] += (values[k] - origin[k]) * x.scale;
      }
      std::copy_n(partial, cols, sums + k0);
      continue;
    }
    for (int k = 0; k < cols; k++) origin[k] = value(x.row(0) + (k0 + k) * x.col_stride);
    for (int r = 0; r < rows; r++) {
      const char* row = x.row(first_row + r) + k0 * x.col_stride;
      if (ahead) fetch(x, std::min(first_row + r + rows_ahead, x.rows - 1), k0, cols);
      if constexpr (std::is_same_v<Stored, Half> || std::is_same_v<Stored, BFloat16>) {
        if (x.col_stride == 2) {
          float widened[block_cols];
          widen_row(row, cols, widened, Stored());
          for (int k = 0; k < cols; k++) partial[k] += static_cast<double>(widened[k]) * x.scale - origin[k];
          continue;
        }
      }
      if (x.col_stride == static_cast<std::int64_t>(sizeof(Stored)))
        for (int k = 0; k < cols; k++) partial[k] += value(row + k * sizeof(Stored)) - origin[k];
      else
        for (int k = 0; k < cols; k++) partial[k] += value(row + k * x.col_stride) - origin[k];
    }
    for (int k = 0; k < cols; k++) sums[k0 + k] = partial[k];
  }
}

constexpr int piece = 256;

// A vector of as many T as a vector of float64 has lanes.
template <class T>
using Narrow = Vector<T, lanes<double>>;

// Loads such a vector, or `present` values followed by zeros.
template <bool Whole, class T>
GRAMLESS_INLINE Narrow<T> load_values(const T* values, int present) {
  if constexpr (Whole) return load<Narrow<T>>(values);
  T rest[lanes<double>] = {};
  for (int c = 0; c < present; c++) rest[c] = load<T>(values + c);
  return load<Narrow<T>>(rest);
}

// The sum of `count` squares. values_at(whole, k) is the vector of values from the k-th on, with whole = false_type
// where fewer are left.
template <class Values>
GRAMLESS_INLINE double sum_of_squares(int count, Values values_at) {
  constexpr int width = lanes<double>, step = 4 * width;
  const int whole = count / step * step;
  Vector<double> sums[4] = {};
  const auto add = [&](int u, Vector<double> value) GRAMLESS_INLINE_LAMBDA { sums[u] += value * value; };
  for (int k = 0; k < whole; k += step)
#pragma GCC unroll 4
    for (int u = 0; u < 4; u++) add(u, values_at(std::true_type(), k + u * width));
#pragma GCC unroll 4
  for (int u = 0; u < 4; u++) {
    const int k = whole + u * width;
    if (k >= count) break;
    if (count - k >= width)
      add(u, values_at(std::true_type(), k));
    else
      add(u, values_at(std::false_type(), k));
  }
  return horizontal_sum<double>((sums[0] + sums[1]) + (sums[2] + sums[3]));
}

// Adds up sum_of_piece(first, count) over the pieces of a row.
template <class Sum>
GRAMLESS_INLINE double sum_of_pieces(std::int64_t cols, Sum sum_of_piece) {
  double sum = 0;
  for (std::int64_t first = 0; first < cols; first += piece) {
    if (first > 0 && first % (polled * piece) == 0 && stop_requested()) return sum;
    sum += sum_of_piece(first, static_cast<int>(std::min<std::int64_t>(piece, cols - first)));
  }
  return sum;
}

// |x_i|^2
template <class T>
double squared_length(const LayerView& layer, std::int64_t i) {
  const T scale = static_cast<T>(layer.x.scale);
  const T *const high = static_cast<const T*>(layer.center_high), *const low = static_cast<const T*>(layer.center_low);
  T copy[1][piece];
  const T* row[1];
  return sum_of_pieces(layer.x.cols, [&](std::int64_t first, int count) {
    detail::read_rows(layer.x, i, 1, first, count, copy, row);
    return sum_of_squares(count, [&](auto whole, int k) GRAMLESS_INLINE_LAMBDA {
      const auto from = [&](const T* values) GRAMLESS_INLINE_LAMBDA {
        return load_values<decltype(whole)::value>(values + k, count - k);
      };
      return to_doubles((from(row[0]) * scale - from(high + first)) - from(low + first));
    });
  });
}

// Reads columns of a row as T. Separate, because it is long when inlined.
template <class T>
__attribute__((noinline)) const T* read_row(const ArrayView& x, std::int64_t i, std::int64_t first, int count,
                                            T (&copy)[1][piece]) {
  const T* row[1];
  detail::read_rows(x, i, 1, first, count, copy, row);
  return row[0];
}

// |x_i - x_j|^2. Differences need no centre.
template <class T>
double squared_distance(const ArrayView& x, std::int64_t i, std::int64_t j) {
  const T scale = static_cast<T>(x.scale);
  T copy_a[1][piece], copy_b[1][piece];
  return sum_of_pieces(x.cols, [&](std::int64_t first, int count) {
    const T *const a = read_row(x, i, first, count, copy_a), *const b = read_row(x, j, first, count, copy_b);
    return sum_of_squares(count, [&](auto whole, int k) GRAMLESS_INLINE_LAMBDA {
      const auto from = [&](const T* row) GRAMLESS_INLINE_LAMBDA {
        return load_values<decltype(whole)::value>(row + k, count - k) * scale;
      };
      return to_doubles(from(a) - from(b));
    });
  });
}

// The diagonal of a tile, in the tile's arithmetic.
template <class T>
void norms_from_tiles(const LayerView& layer, std::int64_t first, int count, double* norms) {
  constexpr int depth = TileShape<T>::depth;
  const CenteredRows<T> rows{layer.x, static_cast<const T*>(layer.center_high),
                             static_cast<const T*>(layer.center_low)};
  Vector<T> total{};
  for (std::int64_t k0 = 0; k0 < layer.x.cols; k0 += depth) {
    if (k0 > 0 && k0 % (polled * depth) == 0 && stop_requested()) return;
    const int chunk = static_cast<int>(std::min<std::int64_t>(depth, layer.x.cols - k0));
    ReadAhead(layer.x, first + count, lanes<T>, k0, chunk).fetch(0, 1);
    total += Product<T>::squared_lengths(rows, first, count, k0, chunk);
  }
  for (int i = 0; i < count; i++) norms[first + i] = static_cast<double>(total[i]);
}

// Sums blocks of columns over all rows: with blocks of rows, as below, the sums of a whole row would be stored and
// loaded for every row. Either way a column is summed in the same order.
void sums_of_many_columns(const ArrayView& x, const Execution& execution, double* sums) {
  const Blocks rows{x.rows, block_rows}, columns{x.cols, 64 * block_cols};
  const WalkPlan plan{.tasks = columns.count(),
                      .flops = static_cast<double>(x.rows) * static_cast<double>(x.cols),
                      .scratch_bytes = static_cast<std::size_t>(columns.size) * sizeof(double),
                      .threads = execution.threads,
                      .monitor = execution.monitor};
  walk(
      plan,
      [&](std::int64_t block, char* scratch, char*, Worker& worker) {
        ArrayView part = x;
        part.data = static_cast<const char*>(x.data) + columns.begin(block) * x.col_stride;
        part.cols = columns.length(block);
        if (x.of_unit_rows()) part.unit.origin += columns.begin(block);
        double *const partial = reinterpret_cast<double*>(scratch), *const total = sums + columns.begin(block);
        std::fill_n(total, part.cols, 0.0);
        for (std::int64_t b = 0; b < rows.count() && !worker.stopped(); b++) {
          visit_dtype(x.dtype,
                      [&]<class Stored>() { sum_columns<Stored>(part, rows.begin(b), rows.length(b), partial); });
          for (std::int64_t k = 0; k < part.cols; k++) total[k] += partial[k];
        }
      },
      [](std::int64_t, const char*) {});
}

}  // namespace

void column_sums(const ArrayView& x, const Execution& execution, double* sums) {
  constexpr std::int64_t many_columns = 1 << 15;
  if (x.cols >= many_columns) return sums_of_many_columns(x, execution, sums);
  const Blocks blocks{x.rows, block_rows};
  const WalkPlan plan{.tasks = blocks.count(),
                      .flops = 24.0 * static_cast<double>(x.rows) * static_cast<double>(x.cols),  // the cost of reading
                      .partial_bytes = static_cast<std::size_t>(x.cols) * sizeof(double),
                      .threads = execution.threads,
                      .monitor = execution.monitor};
  for (std::int64_t k = 0; k < x.cols; k++) sums[k] = 0;
  walk(
      plan,
      [&](std::int64_t block, char*, char* partial, Worker&) {
        visit_dtype(x.dtype, [&]<class Stored>() {
          sum_columns<Stored>(x, blocks.begin(block), blocks.length(block), reinterpret_cast<double*>(partial));
        });
      },
      [&](std::int64_t, const char* partial) {
        for (std::int64_t k = 0; k < x.cols; k++) sums[k] += reinterpret_cast<const double*>(partial)[k];
      });
}

void row_norms(const LayerView& layer, const Execution& execution, double* norms) {
  const double flops = static_cast<double>(layer.x.rows) * static_cast<double>(layer.x.cols);
  for_each_row(layer.x.rows, flops, execution, [&](std::int64_t i) {
    norms[i] =
        execution.compute == Compute::float32 ? squared_length<float>(layer, i) : squared_length<double>(layer, i);
  });
}

void tile_norms(const LayerView& layer, const Execution& execution, double* norms) {
  const auto diagonal = [&]<class T>(T) {
    const Blocks vectors{layer.x.rows, lanes<T>};
    const double flops = 2.0 * static_cast<double>(layer.x.rows) * static_cast<double>(layer.x.cols);
    for_each_row(vectors.count(), flops, execution, [&](std::int64_t vector) {
      norms_from_tiles<T>(layer, vectors.begin(vector), vectors.length(vector), norms);
    });
  };
  if (execution.compute == Compute::float32)
    diagonal(float());
  else
    diagonal(double());
}

void pair_distances(const LayerView& layer, const Execution& execution, const std::int64_t* pairs, std::int64_t count,
                    double* distances) {
  const double flops = 2.0 * static_cast<double>(count) * static_cast<double>(layer.x.cols);
  for_each_row(count, flops, execution, [&](std::int64_t p) {
    const std::int64_t i = pairs[2 * p], j = pairs[2 * p + 1];
    distances[p] = execution.compute == Compute::float32 ? squared_distance<float>(layer.x, i, j)
                                                         : squared_distance<double>(layer.x, i, j);
  });
}

}  // namespace GRAMLESS_ISA
}  // namespace gramless
