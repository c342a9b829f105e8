#include "ops/hsic/column_means.hpp"

#include <algorithm>
#include <functional>

#include "ops/dispatch/for_blocks.hpp"
#include "support/dtype.hpp"

namespace gramless {
namespace {

double first_value(const ArrayView& x, std::int64_t column) {
  double value = 0;
  visit_dtype(x.dtype, [&]<class Stored>() {
    if (x.of_unit_rows()) return load_unit_row<double, Stored>(x, 0, column, 1, &value);
    value = load_element<double, Stored>(x.row(0) + column * x.col_stride);
  });
  return value * x.scale;
}

}  // namespace

std::vector<double> column_means(const ArrayView& x, const OpTable& ops, const Execution& execution) {
  std::vector<double> means(static_cast<std::size_t>(x.cols));
  ops.column_sums(x, execution, means.data());  // of the differences to the first row
  for_blocks(x.cols, execution, [&](std::int64_t first, std::int64_t end) {
    for (std::int64_t k = first; k < end; k++) {
      double& mean = means[static_cast<std::size_t>(k)];
      mean = first_value(x, k) + mean / static_cast<double>(x.rows);
    }
  });
  return means;
}

void subtract_column_means(std::int64_t rows, std::int64_t cols, void* values, const OpTable& ops,
                           const Execution& execution) {
  ArrayView view;
  view.data = values;
  view.rows = rows;
  view.cols = cols;
  view.col_stride = static_cast<std::int64_t>(element_bytes(execution.compute));
  view.row_stride = cols * view.col_stride;
  view.dtype = execution.compute == Compute::float32 ? Dtype::float32 : Dtype::float64;
  const std::vector<double> means = column_means(view, ops, execution);
  const auto subtract = [&]<class T>(T* row) {
    const std::vector<T> narrow(means.begin(), means.end());
    for (std::int64_t i = 0; i < rows; i++, row += cols)
      std::transform(row, row + cols, narrow.begin(), row, std::minus<T>());
  };
  if (execution.compute == Compute::float32)
    subtract(static_cast<float*>(values));
  else
    subtract(static_cast<double*>(values));
}

}  // namespace gramless
