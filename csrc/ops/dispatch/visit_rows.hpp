// Rows one by one, as they are stored, in float64 and compiled once: for what is done once in a call.
#pragma once

#include <algorithm>

#include "engine/walk/walk.hpp"
#include "ops/dispatch/op_table.hpp"
#include "support/dtype.hpp"

namespace gramless {

// body(row) for all rows.
template <class Body>
void for_rows_of(const ArrayView& x, const Execution& execution, Body body) {
  constexpr std::int64_t length = 256;
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

// use(value_at) with the elements of a row, value_at(k) as they are stored.
template <class Use>
void visit_row(const ArrayView& x, std::int64_t row, Use use) {
  visit_dtype(x.dtype, [&]<class Stored>() {
    const char* const first = x.row(row);
    constexpr auto size = static_cast<std::int64_t>(sizeof(Stored));
    if (x.col_stride == size)
      use([&](std::int64_t k) { return load_element<double, Stored>(first + k * size); });
    else
      use([&](std::int64_t k) { return load_element<double, Stored>(first + k * x.col_stride); });
  });
}

}  // namespace gramless
