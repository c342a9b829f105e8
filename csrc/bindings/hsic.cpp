// HSIC for Python: translates, releases the GIL, translates back.
#include "ops/hsic/hsic.hpp"

#include "bindings/python_types.hpp"
#include "ops/dispatch/backends.hpp"
#include "ops/hsic/jackknife.hpp"
#include "ops/hsic/precision.hpp"

namespace gramless {
namespace {

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
    const Unlocked unlocked;
    values = hsic_values(x, y, which, where, ops, how);
  }
  warn_of_ties(values.tied, all, x.size());
  return hsic_tuple(values, x.size(), y.size());
}

// One pair without the cost of numpy arrays: (hsic_xy, hsic_xx, hsic_yy, exponent_x, exponent_y,
// mean_x, mean_y).
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
    const Unlocked unlocked;
    values = hsic_values({layers, 1}, {layers + 1, 1}, which, where, ops, how);
  }
  warn_of_ties(values.tied, layers, 1);
  return py::make_tuple(values.xy[0], values.xx[0], values.yy[0], values.exponents[0], values.exponents[1],
                        values.mean_x[0], values.mean_y[0]);
}

using Rows = py::array_t<std::int64_t, py::array::c_style>;

py::array_t<double> permuted(py::handle x, py::handle y, py::handle kernel_x, py::handle kernel_y,
                             const Rows& permutations, const std::string& estimator_name, py::object progress) {
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
    const Unlocked unlocked;
    values = permuted_hsic(layers[0], layers[1], orders, which, ops, how);
  }
  return to_numpy(values);
}

// (hsic_xy, hsic_xx, hsic_yy), each (1 + folds): of all rows, then without each fold. order: the rows, fold after fold;
// sizes: how many rows each fold has.
py::tuple jackknife(py::handle x, py::handle y, py::handle kernel_x, py::handle kernel_y, const Rows& order,
                    const Rows& sizes, const std::string& estimator_name) {
  const LayerInput layers[] = {{array_view(x), kernel_spec(kernel_x)}, {array_view(y), kernel_spec(kernel_y)}};
  PythonMonitor monitor((py::none()));
  const Execution how = execution(layers, monitor);
  const OpTable& ops = current_backend();
  const Estimator which = estimator(estimator_name);
  const RowFolds folds{{order.data(), static_cast<std::size_t>(order.size())},
                       {sizes.data(), static_cast<std::size_t>(sizes.size())}};
  if (!folds.cover(layers[0].x.rows)) throw py::value_error("the folds must contain every row exactly once");
  JackknifeValues values;
  {
    const Unlocked unlocked;
    values = jackknife_hsic(layers[0], layers[1], folds, which, ops, how);
  }
  warn_of_ties(values.tied, layers, 1);
  return py::make_tuple(to_numpy(values.xy), to_numpy(values.xx), to_numpy(values.yy));
}

// What `hsic_matrix` returns, and the row sums for `backward`.
py::tuple forward(const py::sequence& xs, const py::sequence& ys, const py::sequence& kernels_x,
                  const py::sequence& kernels_y, const std::string& estimator_name) {
  const std::vector<LayerInput> x = layer_inputs(xs, kernels_x), y = layer_inputs(ys, kernels_y);
  std::vector<LayerInput> all = x;
  all.insert(all.end(), y.begin(), y.end());
  PythonMonitor monitor((py::none()));
  const Execution how = execution(all, monitor);
  const OpTable& ops = current_backend();
  const Estimator which = estimator(estimator_name);
  HsicValues values;
  {
    const Unlocked unlocked;
    values = hsic_values(x, y, which, Space::automatic, ops, how);
  }
  warn_of_ties(values.tied, all, x.size());
  return py::make_tuple(hsic_tuple(values, x.size(), y.size()), to_numpy(values.row_sums));
}

using Numbers = py::array_t<double, py::array::c_style>;

std::span<const double> numbers(const Numbers& array, std::size_t wanted) {
  if (static_cast<std::size_t>(array.size()) != wanted) throw py::value_error("there must be a weight for every value");
  return {array.data(), wanted};
}

void backward(const py::sequence& xs, const py::sequence& ys, const py::sequence& kernels_x,
              const py::sequence& kernels_y, const std::string& estimator_name, const Numbers& saved,
              const Numbers& weights_xy, const Numbers& weights_xx, const Numbers& weights_yy,
              const py::sequence& grads) {
  const std::vector<LayerInput> x = layer_inputs(xs, kernels_x), y = layer_inputs(ys, kernels_y);
  std::vector<LayerInput> all = x;
  all.insert(all.end(), y.begin(), y.end());
  PythonMonitor monitor((py::none()));
  const Execution how = execution(all, monitor);
  std::vector<void*> targets;
  for (const LayerInput& layer : all) targets.push_back(gradient_target(grads[targets.size()], layer.x, how.compute));
  const std::size_t columns = y.empty() ? x.size() : y.size(), rows = static_cast<std::size_t>(x[0].x.rows);
  const HsicWeights weights{numbers(weights_xy, x.size() * columns), numbers(weights_xx, x.size()),
                            numbers(weights_yy, y.size())};
  const auto row_sums = numbers(saved, saved.size() == 0 ? 0 : all.size() * rows);
  const OpTable& ops = current_backend();
  const Estimator which = estimator(estimator_name);
  const Unlocked unlocked;
  hsic_gradients(x, y, which, row_sums, weights, targets, ops, how);
}

// The sigma a kernel takes for x, in float64 if other layers of the comparison need it; a warning names it `name`.
double bandwidth(py::handle x, py::handle kernel, bool in_float64, py::object progress, const std::string& name) {
  const LayerInput layer{array_view(x), kernel_spec(kernel)};
  if (layer.kernel.sigma) return *layer.kernel.sigma;
  PythonMonitor monitor(std::move(progress));
  Execution how = execution({&layer, 1}, monitor);
  if (in_float64) how.compute = Compute::float64;
  const OpTable& ops = current_backend();
  double sigma, tied;
  {
    const Unlocked unlocked;
    const Representation representation = resolved(layer, ops, how);
    sigma = representation.sigma();
    tied = representation.tied();
  }
  if (tied > 0) warn_of_ties(tied, class_name(layer.kernel.formula), name);
  return sigma;
}

double median_distance(py::handle x, bool include_diagonal, py::object progress) {
  const LayerInput layer{array_view(x), {}};
  PythonMonitor monitor(std::move(progress));
  const Execution how = execution({&layer, 1}, monitor);
  const OpTable& ops = current_backend();
  MedianDistance median;
  {
    const Unlocked unlocked;
    median = median_of_rows(layer.x, include_diagonal, ops, how);
  }
  warn_of_ties(median.tied, "median_distance", "x");
  return median.distance;
}

// Leaving out pairs is documented behaviour here, so there is no warning.
double median_apart(py::handle x, bool lower) {
  const LayerInput layer{array_view(x), {}};
  PythonMonitor monitor((py::none()));
  const Execution how = execution({&layer, 1}, monitor);
  const OpTable& ops = current_backend();
  const Unlocked unlocked;
  return median_of_rows_apart(layer.x, lower, ops, how);
}

}  // namespace

void bind_hsic(py::module_& module) {
  module.def("hsic_matrix", hsic_matrix);
  module.def("hsic_pair", hsic_pair);
  module.def("permuted_hsic", permuted);
  module.def("jackknife_hsic", jackknife);
  module.def("median_distance", median_distance);
  module.def("median_apart", median_apart);
  module.def("hsic_forward", forward);
  module.def("hsic_backward", backward);
  module.def("bandwidth", bandwidth, py::arg("x"), py::arg("kernel"), py::arg("in_float64") = false,
             py::arg("progress") = py::none(), py::arg("name") = "x");
}

}  // namespace gramless
