// Decides what rounding in tiles leaves undecided: the given rows are compared in float64.
#include <cmath>

#include "engine/tile/tile.hpp"
#include "engine/walk/walk.hpp"
#include "ops/dispatch/isa_ops.hpp"
#include "reductions/row_heap.hpp"
#include "support/dtype.hpp"

namespace gramless {
inline namespace GRAMLESS_ISA {
namespace {

constexpr std::int64_t run_rows = 64;             // of one task
constexpr std::int64_t most_scanned = 8;          // rows that share one reading of all others
constexpr std::int64_t scanned_values = 1 << 18;  // numbers of those rows
constexpr std::int64_t polled_rows = 256;
constexpr double least_number = 0x1p-1000;  // a row whose largest number is below it counts as zeros

// Calls body(first, end, scratch, worker) for runs of `length` rows, with scratch for `numbers` numbers.
template <class Body>
void for_runs(std::int64_t count, std::int64_t length, double flops, std::int64_t numbers, const Execution& execution,
              Body body) {
  const WalkPlan plan{.tasks = (count + length - 1) / length,
                      .flops = flops,
                      .scratch_bytes = static_cast<std::size_t>(numbers) * sizeof(double),
                      .threads = execution.threads,
                      .monitor = execution.monitor};
  walk(
      plan,
      [&](std::int64_t run, char* scratch, char*, Worker& worker) {
        body(run * length, std::min(count, (run + 1) * length), reinterpret_cast<double*>(scratch), worker);
      },
      [](std::int64_t, const char*) {});
}

double numbers_of(const ArrayView& x) { return static_cast<double>(x.rows) * static_cast<double>(x.cols); }

void read_row(const ArrayView& x, std::int64_t row, double power, double* values) {
  visit_dtype(x.dtype, [&]<class Stored>() {
    const char* const first = x.row(row);
    constexpr auto size = static_cast<std::int64_t>(sizeof(Stored));
    if (x.col_stride == size)
      for (std::int64_t k = 0; k < x.cols; k++) values[k] = load_element<double, Stored>(first + k * size) * power;
    else
      for (std::int64_t k = 0; k < x.cols; k++)
        values[k] = load_element<double, Stored>(first + k * x.col_stride) * power;
  });
}

void read_row(const ScaledRows& of, std::int64_t row, double* values) { read_row(of.x, row, of.powers[row], values); }

// A dot product in four chains of vectors, so that equal rows have equal products.
double dot(const double* a, const double* b, std::int64_t count) {
  constexpr int width = lanes<double>, chains = 4;
  using V = Vector<double>;
  V sums[chains] = {};
  std::int64_t k = 0;
  for (; k + chains * width <= count; k += chains * width)
#pragma GCC unroll 4
    for (int c = 0; c < chains; c++) sums[c] += load<V>(a + k + c * width) * load<V>(b + k + c * width);
  double sum = horizontal_sum<double>((sums[0] + sums[1]) + (sums[2] + sums[3]));
  for (; k < count; k++) sum += a[k] * b[k];
  return sum;
}

// Orders rows by their cosine with one row, given their products with it and their squared lengths: the square of the
// cosine, with its sign, times a number of the one row. For integers it is rounded only once, so that equal cosines
// tie.
double order_by_cosine(double product, double square) { return square > 0 ? product * std::abs(product) / square : 0; }

void measure_row(const MeasuredRowsTask& task, std::int64_t row, double* values) {
  read_row(task.x, row, 1.0, values);
  double largest = 0, nan = 0;
  for (std::int64_t k = 0; k < task.x.cols; k++) {
    const double magnitude = std::abs(values[k]);
    largest = magnitude > largest ? magnitude : largest;
    nan += magnitude - magnitude;  // NaN for infinity too
  }
  task.powers[row] = task.squares[row] = task.factors[row] = nan;
  if (nan != nan || largest < least_number) return;
  const double power = std::ldexp(1.0, -std::ilogb(largest));
  for (std::int64_t k = 0; k < task.x.cols; k++) values[k] *= power;
  task.powers[row] = power;
  task.squares[row] = dot(values, values, task.x.cols);
  task.factors[row] = power / std::sqrt(task.squares[row]);
}

// The nearest of the candidates that are neither certainly among the k nearest nor certainly not.
void choose_exactly(const ScaledRows& of, std::int64_t row, const std::int32_t* candidates, std::int64_t count,
                    const RowHeap<double>& heap, double* own, double* other) {
  std::fill_n(heap.similarities, heap.size, -INFINITY);
  std::fill_n(heap.rows, heap.size, -1);
  read_row(of, row, own);
  for (std::int64_t c = 0; c < count; c++) {
    const std::int32_t candidate = candidates[c];
    read_row(of, candidate, other);
    heap.offer(order_by_cosine(dot(own, other, of.x.cols), of.squares[candidate]), candidate);
  }
}

// Sorts in ascending order, by a heap of the negatives.
void sort_numbers(std::int32_t* numbers, std::int64_t count, double* scratch) {
  for (std::int64_t c = 0; c < count; c++) scratch[c] = -numbers[c];
  const RowHeap<double> heap{scratch, numbers, count};
  heap.order();
  heap.sort();
}

template <class T>
void choose_row(const ChosenRowsTask& task, std::int64_t row, double* scratch) {
  T* const similarities = static_cast<T*>(task.similarities) + row * task.kept;
  std::int32_t* const candidates = task.rows + row * task.kept;
  std::int32_t* const nearest = task.nearest + row * task.k;
  RowHeap<T>{similarities, candidates, task.kept}.sort();
  const double last = static_cast<double>(similarities[task.k - 1]);
  std::int64_t certain = 0, possible = task.k;
  while (certain<task.k&& static_cast<double>(similarities[certain])> last + task.noise) certain++;
  while (possible < task.kept && static_cast<double>(similarities[possible]) >= last - task.noise) possible++;
  task.undecided[row] = possible == task.kept && task.kept < task.of.x.rows - 1;
  if (task.undecided[row]) return;
  std::copy_n(candidates, task.k, nearest);
  if (possible > task.k) {
    double *const own = scratch + task.k, *const other = own + task.of.x.cols;
    const RowHeap<double> heap{scratch, nearest + certain, task.k - certain};
    choose_exactly(task.of, row, candidates + certain, possible - certain, heap, own, other);
  }
  sort_numbers(nearest, task.k, scratch);
}

void scan_run(const ScannedRowsTask& task, std::int64_t first, std::int64_t end, double* scratch, Worker& worker) {
  const std::int64_t width = task.of.x.cols, count = end - first;
  double *const other = scratch, *const own = other + width, *const similarities = own + count * width;
  const auto heap = [&](std::int64_t r) {
    return RowHeap<double>{similarities + r * task.wanted, task.nearest + (first + r) * task.wanted, task.wanted};
  };
  std::fill_n(similarities, count * task.wanted, -INFINITY);
  std::fill_n(task.nearest + first * task.wanted, count * task.wanted, -1);
  for (std::int64_t r = 0; r < count; r++) read_row(task.of, task.scanned[first + r], own + r * width);
  for (std::int64_t j = 0; j < task.of.x.rows; j++) {
    if (j % polled_rows == 0 && worker.stopped()) return;
    read_row(task.of, j, other);
    for (std::int64_t r = 0; r < count; r++)
      heap(r).offer(order_by_cosine(dot(own + r * width, other, width), task.of.squares[j]),
                    static_cast<std::int32_t>(j));
  }
  for (std::int64_t r = 0; r < count; r++) heap(r).sort();
}

}  // namespace

void measured_rows(const MeasuredRowsTask& task, const Execution& execution) {
  for_runs(task.x.rows, run_rows, 4 * numbers_of(task.x), task.x.cols, execution,
           [&](std::int64_t first, std::int64_t end, double* scratch, Worker& worker) {
             for (std::int64_t i = first; i < end && !worker.stopped(); i++) measure_row(task, i, scratch);
           });
}

void chosen_rows(const ChosenRowsTask& task, const Execution& execution) {
  const double flops = static_cast<double>(task.of.x.rows) * 20 * static_cast<double>(task.kept);
  for_runs(task.of.x.rows, run_rows, flops, task.k + 2 * task.of.x.cols, execution,
           [&](std::int64_t first, std::int64_t end, double* scratch, Worker& worker) {
             for (std::int64_t i = first; i < end && !worker.stopped(); i++)
               if (execution.compute == Compute::float32)
                 choose_row<float>(task, i, scratch);
               else
                 choose_row<double>(task, i, scratch);
           });
}

void scanned_rows(const ScannedRowsTask& task, const Execution& execution) {
  const std::int64_t width = task.of.x.cols,
                     at_once = std::clamp<std::int64_t>(scanned_values / width, 1, most_scanned);
  const double flops = 2 * static_cast<double>(task.count) * numbers_of(task.of.x);
  for_runs(task.count, at_once, flops, width + at_once * (width + task.wanted), execution,
           [&](std::int64_t first, std::int64_t end, double* scratch, Worker& worker) {
             scan_run(task, first, end, scratch, worker);
           });
}

void row_cosines(const RowCosinesTask& task, const Execution& execution) {
  const std::int64_t width = task.of.x.cols;
  for_runs(task.of.x.rows, run_rows, 2 * static_cast<double>(task.k) * numbers_of(task.of.x), 2 * width, execution,
           [&](std::int64_t first, std::int64_t end, double* scratch, Worker& worker) {
             for (std::int64_t i = first; i < end && !worker.stopped(); i++) {
               read_row(task.of, i, scratch);
               for (std::int64_t at = i * task.k; at < (i + 1) * task.k; at++) {
                 const std::int32_t j = task.rows[at];
                 read_row(task.of, j, scratch + width);
                 const double lengths = std::sqrt(task.of.squares[i]) * std::sqrt(task.of.squares[j]);
                 task.cosines[at] = lengths > 0 ? dot(scratch, scratch + width, width) / lengths : 0;
               }
             }
           });
}

}  // namespace GRAMLESS_ISA
}  // namespace gramless
