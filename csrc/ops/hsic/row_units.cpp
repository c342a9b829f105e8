#include "ops/hsic/row_units.hpp"

#include <algorithm>
#include <cmath>

#include "engine/walk/walk.hpp"
#include "ops/hsic/column_means.hpp"
#include "support/dtype.hpp"

namespace gramless {
namespace {

template <class Body>
void for_rows_of(const ArrayView& x, const Execution& execution, Body body) {
  constexpr std::int64_t length = 64;
  const WalkPlan plan{.tasks = (x.rows + length - 1) / length,
                      .flops = 16.0 * static_cast<double>(x.rows) * static_cast<double>(x.cols),
                      .threads = execution.threads,
                      .monitor = execution.monitor};
  walk(
      plan,
      [&](std::int64_t block, char*, char*, Worker& worker) {
        const std::int64_t end = std::min(x.rows, (block + 1) * length);
        for (std::int64_t i = block * length; i < end && !worker.stopped(); i++) body(i);
      },
      [](std::int64_t, const char*) {});
}

// use(value) for the elements of a row, as they are stored.
template <class Use>
void visit_row(const ArrayView& x, std::int64_t row, Use use) {
  visit_dtype(x.dtype, [&]<class Stored>() {
    const char* element = x.row(row);
    for (std::int64_t k = 0; k < x.cols; k++, element += x.col_stride) use(load_element<double, Stored>(element));
  });
}

}  // namespace

RowUnits::RowUnits(const ArrayView& x, RowForm form, const OpTable& ops, const Execution& execution)
    : centered_(form == RowForm::centered_unit),
      means_(static_cast<std::size_t>(x.rows)),
      factors_(static_cast<std::size_t>(x.rows)),
      origin_(static_cast<std::size_t>(x.cols)) {
  for_rows_of(x, execution, [&](std::int64_t row) { measure(x, row); });
  ArrayView unit = x;
  unit.unit = rows();
  origin_ = column_means(unit, ops, execution);
}

void RowUnits::measure(const ArrayView& x, std::int64_t row) {
  double mean = 0, largest = 0, squares = 0;
  if (centered_) {
    visit_row(x, row, [&](double value) { mean += value / static_cast<double>(x.cols); });
    double rest = 0;
    visit_row(x, row, [&](double value) { rest += (value - mean) / static_cast<double>(x.cols); });
    mean += rest;
  }
  visit_row(x, row, [&](double value) { largest = std::max(largest, std::abs(value - mean)); });
  const int exponent = largest > 0 && std::isfinite(largest) ? std::ilogb(largest) : 0;
  const double unit = std::ldexp(1.0, -exponent);  // squares of large numbers are beyond float64
  visit_row(x, row, [&](double value) { squares += (value - mean) * unit * ((value - mean) * unit); });
  means_[static_cast<std::size_t>(row)] = mean;
  factors_[static_cast<std::size_t>(row)] = unit / std::sqrt(squares);
}

void RowUnits::finish_gradient(const ArrayView& x, void* gradient, const Execution& execution) const {
  for_rows_of(x, execution, [&](std::int64_t row) {
    if (execution.compute == Compute::float32)
      finish_row(x, row, static_cast<float*>(gradient) + row * x.cols);
    else
      finish_row(x, row, static_cast<double*>(gradient) + row * x.cols);
  });
}

// (g - <g, u> u) factor of u = (x - mean) factor, and, where rows are centred, without the mean of g.
template <class T>
void RowUnits::finish_row(const ArrayView& x, std::int64_t row, T* gradient) const {
  const double mean = means_[static_cast<std::size_t>(row)], factor = factors_[static_cast<std::size_t>(row)];
  double along = 0, sum = 0;
  const T* value = gradient;
  visit_row(x, row, [&](double element) {
    along += static_cast<double>(*value) * (element - mean) * factor;
    sum += static_cast<double>(*value++);
  });
  const double own_mean = centered_ ? sum / static_cast<double>(x.cols) : 0.0;
  visit_row(x, row, [&](double element) {
    const double rest = static_cast<double>(*gradient) - own_mean - along * (element - mean) * factor;
    *gradient++ = static_cast<T>(rest * factor);
  });
}

}  // namespace gramless
