// Similarity distillation on CUDA devices for Python: translates and enqueues. Results are addresses of device memory.
#include "bindings/types_cuda.hpp"

namespace gramless {
namespace {

DistillTask device_task(const py::sequence& arrays, double temperature, Address device_temperature,
                        double teacher_temperature, bool normalize) {
  DistillTask task = distill_task(arrays, temperature, teacher_temperature, normalize, described_matrix);
  task.device_temperature = pointer<const double>(device_temperature);
  return task;
}

void forward(const py::tuple& place, const py::sequence& arrays, double temperature, Address device_temperature,
             double teacher_temperature, bool normalize, Address losses, Address saved, Address mean) {
  cuda::DistillForwardTask task;
  task.problem = device_task(arrays, temperature, device_temperature, teacher_temperature, normalize);
  task.losses = pointer<double>(losses);
  task.saved = pointer<double>(saved);
  task.mean = pointer<double>(mean);
  Launch(place).run(cuda::distill_forward_scratch_bytes, cuda::distill_forward, task);
}

void backward(const py::tuple& place, const py::sequence& arrays, double temperature, Address device_temperature,
              double teacher_temperature, bool normalize, Address saved, Address weights, Address scale_of_mean,
              Address grad, Address grad_temperature) {
  cuda::DistillBackwardTask task;
  task.problem = device_task(arrays, temperature, device_temperature, teacher_temperature, normalize);
  task.saved = pointer<const double>(saved);
  task.weights = pointer<const double>(weights);
  task.scale_of_mean = pointer<const double>(scale_of_mean);
  task.grad = pointer(grad);
  task.grad_temperature = pointer<double>(grad_temperature);
  Launch(place).run(cuda::distill_backward_scratch_bytes, cuda::distill_backward, task);
}

}  // namespace

void bind_distillation_cuda(py::module_& module) {
  module.attr("distill_saved_arrays") = cuda::distill_saved_arrays;
  module.def("distill_forward", forward);
  module.def("distill_backward", backward);
}

}  // namespace gramless
