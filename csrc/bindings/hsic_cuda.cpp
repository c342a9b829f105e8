// HSIC on CUDA devices for Python: translates and enqueues. Results are addresses of device memory, to be written
// later.
#include "bindings/types_cuda.hpp"

namespace gramless {
namespace {

cuda::HsicTask hsic_task(const py::tuple& x, const py::tuple& y, py::handle kernel_x, py::handle kernel_y,
                         const std::string& estimator_name, bool allow_tf32, Address row_sums, Address bandwidths) {
  cuda::HsicTask task;
  task.x = described_matrix(x);
  task.y = described_matrix(y);
  task.kernel_x = kernel_spec(kernel_x);
  task.kernel_y = kernel_spec(kernel_y);
  task.estimator = estimator(estimator_name);
  task.operand = cuda::default_operand(task.x.dtype, allow_tf32);
  task.row_sums = pointer<double>(row_sums);
  task.bandwidths = pointer<double>(bandwidths);
  return task;
}

void hsic(const py::tuple& place, const py::tuple& x, const py::tuple& y, py::handle kernel_x, py::handle kernel_y,
          const std::string& estimator_name, bool allow_tf32, Address row_sums, Address bandwidths, Address values,
          Address spreads) {
  cuda::HsicTask task = hsic_task(x, y, kernel_x, kernel_y, estimator_name, allow_tf32, row_sums, bandwidths);
  task.values = pointer<double>(values);
  task.spreads = pointer<double>(spreads);
  Launch(place).run(cuda::hsic_scratch_bytes, cuda::hsic, task);
}

void hsic_matrix(const py::tuple& place, const std::vector<py::tuple>& xs, const std::vector<py::tuple>& ys,
                 py::handle kernel_x, py::handle kernel_y, const std::string& estimator_name, bool allow_tf32,
                 Address row_sums, Address bandwidths, Address values, Address own_values) {
  std::vector<Matrix> layers;
  for (const auto* side : {&xs, &ys})
    for (const py::tuple& layer : *side) layers.push_back(described_matrix(layer));
  cuda::HsicMatrixTask task;
  task.layers = layers.data();
  task.layers_x = static_cast<std::int64_t>(xs.size());
  task.layers_y = static_cast<std::int64_t>(ys.size());
  task.kernel_x = kernel_spec(kernel_x);
  task.kernel_y = kernel_spec(kernel_y);
  task.estimator = estimator(estimator_name);
  task.operand = cuda::default_operand(layers.at(0).dtype, allow_tf32);
  task.values = pointer<double>(values);
  task.own_values = pointer<double>(own_values);
  task.row_sums = pointer<double>(row_sums);
  task.bandwidths = pointer<double>(bandwidths);
  Launch(place).run(cuda::hsic_matrix_scratch_bytes, cuda::hsic_matrix, task);
}

void hsic_grad(const py::tuple& place, const py::tuple& x, const py::tuple& y, py::handle kernel_x, py::handle kernel_y,
               const std::string& estimator_name, bool allow_tf32, Address row_sums, Address bandwidths,
               Address weights, Address grad_x, Address grad_y) {
  cuda::HsicGradTask task;
  task.forward = hsic_task(x, y, kernel_x, kernel_y, estimator_name, allow_tf32, row_sums, bandwidths);
  if (is_of_root(task.forward.kernel_x.formula) || is_of_root(task.forward.kernel_y.formula))
    throw std::runtime_error(
        "gradients of kernels of the distance itself, such as Laplace, are not computed on a GPU; use RBF there, or "
        "tensors of the CPU");
  task.weights = pointer<const double>(weights);
  task.grad_x = pointer(grad_x);
  task.grad_y = pointer(grad_y);
  Launch(place).run(cuda::hsic_grad_scratch_bytes, cuda::hsic_grad, task);
}

void median_squared_distance(const py::tuple& place, const py::tuple& x, bool include_diagonal, bool allow_tf32,
                             Address median) {
  cuda::MedianTask task;
  task.x = described_matrix(x);
  task.include_diagonal = include_diagonal;
  task.operand = cuda::default_operand(task.x.dtype, allow_tf32);
  task.median = pointer<double>(median);
  Launch(place).run(cuda::median_scratch_bytes, cuda::median_squared_distance, task);
}

}  // namespace

void bind_hsic_cuda(py::module_& module) {
  module.def("hsic", hsic);
  module.def("hsic_matrix", hsic_matrix);
  module.def("hsic_grad", hsic_grad);
  module.def("median_squared_distance", median_squared_distance);
}

}  // namespace gramless
