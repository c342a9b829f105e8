// Conversions of Python objects to the core's plain types. User input is checked in Python; the checks here are
// assertions.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "bindings/api_types.hpp"
#include "bindings/gil.hpp"
#include "ops/hsic/hsic.hpp"

namespace gramless {

namespace py = pybind11;

// A numpy array, (address, rows, columns, row stride, column stride, dtype name) with strides in bytes, or StackedRows.
ArrayView array_view(py::handle array);

template <class T>
py::array_t<T> to_numpy(const std::vector<T>& values) {
  return py::array_t<T>(static_cast<py::ssize_t>(values.size()), values.data());
}

// (hsic_xy, hsic_xx, hsic_yy, mean_x, mean_y, diagonal_x, diagonal_y, sigmas, exponents), as HsicValues
py::tuple hsic_tuple(const HsicValues& values, std::size_t layers_x, std::size_t layers_y);

// The memory for a gradient of `like`: a writable C-contiguous array of the compute type; null for None.
void* gradient_target(py::handle grad, const Matrix& like, Compute compute);

Space space(const std::string& name);

std::vector<LayerInput> layer_inputs(const py::sequence& arrays, const py::sequence& kernels);

// Lets Ctrl-C end a loop, and calls `progress`, a callable of (done, total) or None.
class PythonMonitor {
 public:
  explicit PythonMonitor(py::object progress) : progress_(std::move(progress)) {}
  Monitor monitor() { return {report, this, &clock_}; }

 private:
  static void report(void* self, std::int64_t done, std::int64_t total);

  py::object progress_;
  ReportClock clock_;
};

Execution execution(std::span<const LayerInput> layers, PythonMonitor& monitor);

// Issues a RuntimeWarning where a median was not taken over all distances, at the line that called gramless, one for
// each kernel function. `tied` is the share of distances left out, for layers xs, then ys.
void warn_of_ties(std::span<const double> tied, std::span<const LayerInput> layers, std::size_t layers_x);
void warn_of_ties(double tied, const std::string& function, const std::string& name);
std::string class_name(const Kernel& kernel);  // in Python: RBF

void bind_stacked_rows(py::module_& module);
void bind_hsic(py::module_& module);
void bind_sweep(py::module_& module);
void bind_contrast(py::module_& module);
void bind_distillation(py::module_& module);
void bind_neighbors(py::module_& module);
void bind_backends(py::module_& module);

}  // namespace gramless
