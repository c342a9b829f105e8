// The rows of one array followed by those of another, without a copy.
#pragma once

#include <cstdint>
#include <vector>

#include "bindings/python_types.hpp"

namespace gramless {

class StackedRows {
 public:
  // Two arrays accepted by `array_view` for which `fit` is true. Numpy arrays are kept alive; other memory must outlive
  // this.
  StackedRows(py::object first, py::object second);

  // Whether they have one dtype and one column stride, so that they can be read in the same way.
  static bool fit(py::handle first, py::handle second);

  // row_stride is 0, so that no rows are taken for adjacent. The view reads `offsets_`.
  ArrayView view() const;

 private:
  py::object first_, second_;
  ArrayView view_;
  std::vector<std::int64_t> offsets_;
};

}  // namespace gramless
