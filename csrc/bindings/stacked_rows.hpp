// The rows of one array and below them those of another, read where they lie.
#pragma once

#include <cstdint>
#include <vector>

#include "bindings/python_types.hpp"

namespace gramless {

class StackedRows {
 public:
  // Arrays as `array_view` takes them, which `fit`. What numpy owns is held; the memory of others must outlive this.
  StackedRows(py::object first, py::object second);

  // Whether they have one dtype and one distance from column to column, and so are read in the same way.
  static bool fit(py::handle first, py::handle second);

  // row_stride is 0, so that no rows pass for adjacent. It reads `offsets_`.
  ArrayView view() const;

 private:
  py::object first_, second_;
  ArrayView view_;
  std::vector<std::int64_t> offsets_;
};

}  // namespace gramless
