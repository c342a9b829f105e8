// Nearest neighbours for Python: translates, releases the GIL, translates back.
#include "ops/neighbors/neighbors.hpp"

#include "bindings/python_types.hpp"
#include "ops/dispatch/backends.hpp"
#include "support/thread_pool.hpp"

namespace gramless {
namespace {

using Rows = py::array_t<std::int32_t, py::array::c_style>;

template <class T>
py::object by_rows(const std::vector<T>& values, std::int64_t k) {
  if (values.empty()) return py::none();
  return to_numpy(values).reshape({static_cast<py::ssize_t>(values.size()) / k, static_cast<py::ssize_t>(k)});
}

// For each array the neighbours of its rows (n, k), or None where it holds NaN or infinity, and their cosines or None.
py::list nearest(const py::sequence& arrays, std::int64_t k, bool with_cosines, py::object progress) {
  std::vector<ArrayView> layers;
  for (const py::handle array : arrays) {
    layers.push_back(array_view(array));
    const std::int64_t n = layers.back().rows;
    if (n != layers[0].rows || k < 1 || k >= n || n > std::numeric_limits<std::int32_t>::max())
      throw py::value_error("all layers must have as many rows, at most 2^31 - 1, and more than k");
  }
  PythonMonitor monitor(std::move(progress));
  const Execution how{Compute::float32, num_threads(), monitor.monitor()};
  const OpTable& ops = current_backend();
  std::vector<Neighbors> found;
  {
    const Unlocked unlocked;
    found = nearest_neighbors(layers, k, with_cosines, ops, how);
  }
  py::list result;
  for (const Neighbors& of_layer : found)
    result.append(py::make_tuple(by_rows(of_layer.rows, k), by_rows(of_layer.cosines, k)));
  return result;
}

std::vector<const std::int32_t*> pointers(const std::vector<Rows>& arrays, py::ssize_t n, py::ssize_t k) {
  std::vector<const std::int32_t*> found;
  for (const Rows& array : arrays) {
    if (array.ndim() != 2 || array.shape(0) != n || array.shape(1) != k)
      throw py::value_error("all neighbours must have one shape (n, k)");
    found.push_back(array.data());
  }
  return found;
}

// How many neighbours the rows of every x share with those of every y, over all rows: (xs, ys). Each row's neighbours
// ascend.
py::array_t<std::int64_t> shared(const std::vector<Rows>& xs, const std::vector<Rows>& ys) {
  if (xs.empty() || ys.empty() || xs[0].ndim() != 2) throw py::value_error("neighbours (n, k) are needed");
  const py::ssize_t n = xs[0].shape(0), k = xs[0].shape(1);
  const auto x = pointers(xs, n, k), y = pointers(ys, n, k);
  PythonMonitor monitor((py::none()));
  const Execution how{Compute::float32, num_threads(), monitor.monitor()};
  std::vector<std::int64_t> found;
  {
    const Unlocked unlocked;
    found = shared_neighbors(x, y, n, k, how);
  }
  return to_numpy(found).reshape({static_cast<py::ssize_t>(xs.size()), static_cast<py::ssize_t>(ys.size())});
}

}  // namespace

void bind_neighbors(py::module_& module) {
  module.def("nearest_neighbors", nearest);
  module.def("shared_neighbors", shared);
}

}  // namespace gramless
