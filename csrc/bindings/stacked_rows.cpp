#include "bindings/stacked_rows.hpp"

#include <utility>

namespace gramless {

StackedRows::StackedRows(py::object first, py::object second) : first_(std::move(first)), second_(std::move(second)) {
  const ArrayView above = array_view(first_), below = array_view(second_);
  view_ = above;
  view_.rows = above.rows + below.rows;
  view_.row_stride = 0;
  offsets_.reserve(static_cast<std::size_t>(view_.rows));
  for (std::int64_t i = 0; i < above.rows; i++) offsets_.push_back(i * above.row_stride);
  // Addresses are subtracted as integers: the difference of pointers into two objects is undefined.
  const auto begin = reinterpret_cast<std::uintptr_t>(above.data), other = reinterpret_cast<std::uintptr_t>(below.data);
  const auto apart = static_cast<std::int64_t>(other - begin);
  for (std::int64_t i = 0; i < below.rows; i++) offsets_.push_back(apart + i * below.row_stride);
}

bool StackedRows::fit(py::handle first, py::handle second) {
  const ArrayView above = array_view(first), below = array_view(second);
  return above.dtype == below.dtype && above.cols == below.cols &&
         (above.cols == 1 || above.col_stride == below.col_stride);
}

ArrayView StackedRows::view() const {
  ArrayView view = view_;
  view.row_offset = offsets_.data();
  return view;
}

// None if the two cannot be read as one array.
void bind_stacked_rows(py::module_& module) {
  py::class_<StackedRows>(module, "StackedRows");
  module.def("stacked_rows", [](py::object first, py::object second) -> py::object {
    if (!StackedRows::fit(first, second)) return py::none();
    return py::cast(StackedRows(std::move(first), std::move(second)));
  });
}

}  // namespace gramless
