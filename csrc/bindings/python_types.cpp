#include "bindings/python_types.hpp"

#include <algorithm>
#include <cstdio>
#include <utility>

#include "bindings/stacked_rows.hpp"
#include "support/dtype.hpp"
#include "support/thread_pool.hpp"

namespace gramless {
namespace {

Dtype numpy_dtype(const py::dtype& dtype) {
  switch (dtype.num()) {
    case py::detail::npy_api::NPY_FLOAT_:
      return Dtype::float32;
    case py::detail::npy_api::NPY_DOUBLE_:
      return Dtype::float64;
    default:
      return named_dtype(entering_python([&] { return py::str(dtype.attr("name")).cast<std::string>(); }));
  }
}

std::string percent(double share) {
  char text[16];
  std::snprintf(text, sizeof text, "%.3g %%", 100 * share);
  return text;
}

// As `warnings.warn` counts: 1 is the innermost frame.
int level_of_caller() {
  int level = 1;
  for (py::object frame = py::module_::import("sys").attr("_getframe")(); !frame.is_none();
       frame = frame.attr("f_back"))
    if (const std::string name = py::str(frame.attr("f_globals").attr("get")("__name__", ""));
        name == "gramless" || name.starts_with("gramless."))
      level++;
    else
      break;
  return level;
}

void warn_of_ties(const std::string& function, const std::string& names) {
  const std::string text = function + ": more than half of the distances between rows are 0 up to rounding in " +
                           names + "; the median is that of the other distances";
  if (PyErr_WarnEx(PyExc_RuntimeWarning, text.c_str(), level_of_caller()) != 0) throw py::error_already_set();
}

}  // namespace

ArrayView array_view(py::handle object) {
  ArrayView view;
  if (py::isinstance<py::array>(object)) {
    const auto array = py::reinterpret_borrow<py::array>(object);
    if (array.ndim() != 2) throw py::value_error("an array of two dimensions is needed");
    view.data = array.data();
    view.rows = array.shape(0);
    view.cols = array.shape(1);
    view.row_stride = array.strides(0);
    view.col_stride = array.strides(1);
    view.dtype = numpy_dtype(array.dtype());
    return view;
  }
  if (py::isinstance<StackedRows>(object)) return object.cast<const StackedRows&>().view();
  static_cast<Matrix&>(view) = described_matrix(object);
  return view;
}

py::tuple hsic_tuple(const HsicValues& values, std::size_t layers_x, std::size_t layers_y) {
  const auto columns = static_cast<py::ssize_t>(layers_y ? layers_y : layers_x);
  return py::make_tuple(to_numpy(values.xy).reshape({static_cast<py::ssize_t>(layers_x), columns}), to_numpy(values.xx),
                        to_numpy(values.yy), to_numpy(values.mean_x), to_numpy(values.mean_y),
                        to_numpy(values.diagonal_x), to_numpy(values.diagonal_y), to_numpy(values.sigmas),
                        to_numpy(values.exponents));
}

void* gradient_target(py::handle grad, const Matrix& like, Compute compute) {
  if (grad.is_none()) return nullptr;
  const ArrayView view = array_view(grad);
  const Dtype wanted = compute == Compute::float32 ? Dtype::float32 : Dtype::float64;
  const std::int64_t size = compute == Compute::float32 ? 4 : 8;
  if (view.dtype != wanted || view.rows != like.rows || view.cols != like.cols || view.row_stride != size * like.cols ||
      (like.cols > 1 && view.col_stride != size))
    throw py::value_error("a gradient must be C-contiguous, of the shape of its input and the type of the computation");
  return const_cast<void*>(view.data);
}

Space space(const std::string& name) {
  if (name == "auto") return Space::automatic;
  if (name == "gram") return Space::gram;
  if (name == "features") return Space::features;
  throw py::value_error("unknown space '" + name + "'");
}

std::vector<LayerInput> layer_inputs(const py::sequence& arrays, const py::sequence& kernels) {
  std::vector<LayerInput> inputs;
  for (std::size_t i = 0; i < arrays.size(); i++) inputs.push_back({array_view(arrays[i]), kernel_spec(kernels[i])});
  return inputs;
}

void PythonMonitor::report(void* self, std::int64_t done, std::int64_t total) {
  const Locked locked;
  if (entering_python(PyErr_CheckSignals) != 0) throw py::error_already_set();
  const py::object& progress = static_cast<PythonMonitor*>(self)->progress_;
  if (progress.is_none()) return;
  const py::tuple numbers = py::make_tuple(done, total);
  PyObject* const answer = entering_python([&] { return PyObject_CallObject(progress.ptr(), numbers.ptr()); });
  if (answer == nullptr) throw py::error_already_set();
  Py_DECREF(answer);
}

void warn_of_ties(double tied, const std::string& function, const std::string& name) {
  if (tied > 0) warn_of_ties(function, name + " (" + percent(tied) + ")");
}

std::string class_name(const Kernel& kernel) {
  const char* formula = nullptr;
  visit_kernel(kernel, [&](const auto& alternative) { formula = alternative.name; });
  return py::module_::import("gramless.kernels").attr("FORMULAS")[formula].attr("__name__").cast<std::string>();
}

void warn_of_ties(std::span<const double> tied, std::span<const LayerInput> layers, std::size_t layers_x) {
  const bool pair = layers_x == 1 && tied.size() == 2;
  std::string names[std::variant_size_v<Kernel>];
  const Kernel* kernels[std::variant_size_v<Kernel>];
  for (std::size_t layer = 0; layer < tied.size(); layer++) {
    if (tied[layer] == 0) continue;
    const Kernel& kernel = layers[layer].kernel.formula;
    const bool first = layer < layers_x;
    const std::size_t number = first ? layer : layer - layers_x;
    std::string& text = names[kernel.index()];
    kernels[kernel.index()] = &kernel;
    text += (text.empty() ? "" : ", ") + std::string(first ? "x" : "y");
    if (!pair) text += "s[" + std::to_string(number) + "]";
    text += " (" + percent(tied[layer]) + ")";
  }
  for (std::size_t kernel = 0; kernel < std::size(names); kernel++)
    if (!names[kernel].empty()) warn_of_ties(class_name(*kernels[kernel]), names[kernel]);
}

Execution execution(std::span<const LayerInput> layers, PythonMonitor& monitor) {
  const bool in_float64 = std::any_of(layers.begin(), layers.end(),
                                      [](const LayerInput& layer) { return computes_in_float64(layer.x.dtype); });
  return {in_float64 ? Compute::float64 : Compute::float32, num_threads(), monitor.monitor()};
}

}  // namespace gramless
