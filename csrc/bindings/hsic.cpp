// HSIC for Python: translates, lets go of the GIL, translates back.
#include "ops/hsic.hpp"

#include "bindings/python_types.hpp"
#include "ops/backends.hpp"

namespace gramless {
namespace {

py::array_t<double> to_numpy(const std::vector<double>& values) {
  return py::array_t<double>(static_cast<py::ssize_t>(values.size()), values.data());
}

py::tuple hsic_matrix(const py::sequence& xs, const py::sequence& ys, const py::sequence& kernels_x,
                      const py::sequence& kernels_y, const std::string& estimator_name, const std::string& space_name,
                      py::object progress) {
  const std::vector<LayerInput> x = layer_inputs(xs, kernels_x), y = layer_inputs(ys, kernels_y);
  std::vector<LayerInput> all = x;
  all.insert(all.end(), y.begin(), y.end());
  PythonMonitor monitor(std::move(progress));
  const Execution how = execution(all, monitor);
  const OpTable& ops = current_backend();
  const Estimator which = estimator(estimator_name);
  const Space where = space(space_name);
  HsicValues values;
  {
    const py::gil_scoped_release unlocked;
    values = hsic_values(x, y, which, where, ops, how);
  }
  const auto columns = static_cast<py::ssize_t>(y.empty() ? x.size() : y.size());
  return py::make_tuple(to_numpy(values.xy).reshape({static_cast<py::ssize_t>(x.size()), columns}), to_numpy(values.xx),
                        to_numpy(values.yy), to_numpy(values.mean_x), to_numpy(values.mean_y),
                        to_numpy(values.diagonal_x), to_numpy(values.diagonal_y));
}

// One pair without the cost of numpy arrays: (hsic_xy, hsic_xx, hsic_yy).
py::tuple hsic_pair(py::handle x, py::handle y, py::handle kernel_x, py::handle kernel_y,
                    const std::string& estimator_name, const std::string& space_name) {
  const LayerInput layers[] = {{array_view(x), kernel_spec(kernel_x)}, {array_view(y), kernel_spec(kernel_y)}};
  PythonMonitor monitor((py::none()));
  const Execution how = execution(layers, monitor);
  const OpTable& ops = current_backend();
  const Estimator which = estimator(estimator_name);
  const Space where = space(space_name);
  HsicValues values;
  {
    const py::gil_scoped_release unlocked;
    values = hsic_values({layers, 1}, {layers + 1, 1}, which, where, ops, how);
  }
  return py::make_tuple(values.xy[0], values.xx[0], values.yy[0]);
}

py::array_t<double> permuted(py::handle x, py::handle y, py::handle kernel_x, py::handle kernel_y,
                             const py::array_t<std::int64_t, py::array::c_style>& permutations,
                             const std::string& estimator_name, py::object progress) {
  const LayerInput layers[] = {{array_view(x), kernel_spec(kernel_x)}, {array_view(y), kernel_spec(kernel_y)}};
  PythonMonitor monitor(std::move(progress));
  const Execution how = execution(layers, monitor);
  const OpTable& ops = current_backend();
  const Estimator which = estimator(estimator_name);
  const std::span<const std::int64_t> orders(permutations.data(), static_cast<std::size_t>(permutations.size()));
  for (const std::int64_t row : orders)
    if (row < 0 || row >= layers[1].x.rows) throw py::index_error("a permutation names a row that y does not have");
  std::vector<double> values;
  {
    const py::gil_scoped_release unlocked;
    values = permuted_hsic(layers[0], layers[1], orders, which, ops, how);
  }
  return to_numpy(values);
}

double median_distance(py::handle x, bool include_diagonal, py::object progress) {
  const LayerInput layer{array_view(x), {}};
  PythonMonitor monitor(std::move(progress));
  const Execution how = execution({&layer, 1}, monitor);
  const OpTable& ops = current_backend();
  const py::gil_scoped_release unlocked;
  return std::sqrt(Representation(layer.x, ops, how).median_squared_distance(include_diagonal, 0, how));
}

}  // namespace

void bind_hsic(py::module_& module) {
  module.def("hsic_matrix", hsic_matrix);
  module.def("hsic_pair", hsic_pair);
  module.def("permuted_hsic", permuted);
  module.def("median_distance", median_distance);
}

}  // namespace gramless
