// Contrastive losses on CUDA devices for Python: translates and enqueues. Results are addresses of device memory.
#include <algorithm>
#include <string>
#include <vector>

#include "bindings/types_cuda.hpp"

namespace gramless {
namespace {

using Parts = std::vector<py::tuple>;

cuda::ContrastSide side(const Parts& parts, Address groups) {
  cuda::ContrastSide side;
  if (parts.size() > std::size(side.parts)) throw py::value_error("a side has at most 2 parts");
  for (const py::tuple& part : parts) side.parts[side.part_count++] = described_matrix(part);
  side.groups = pointer<const std::int32_t>(groups);
  return side;
}

cuda::ContrastTask contrast_task(const Parts& anchors, const Parts& keys, Address anchor_groups, Address key_groups,
                                 double temperature, Address device_temperature, bool normalize, double limit,
                                 double hardest, double tie, const std::string& kind, bool keys_are_anchors) {
  cuda::ContrastTask task;
  task.anchors = side(anchors, anchor_groups);
  task.keys = side(keys, key_groups);
  task.temperature = temperature;
  task.device_temperature = pointer<const double>(device_temperature);
  task.normalize = normalize;
  task.limit = limit;
  task.hardest = hardest;
  task.tie = tie;
  task.kind = contrast_kind(kind);
  task.keys_are_anchors = keys_are_anchors;
  task.operand = cuda::default_operand(task.anchors.parts[0].dtype, false);
  return task;
}

void forward(const py::tuple& place, const Parts& anchors, const Parts& keys, Address anchor_groups, Address key_groups,
             double temperature, Address device_temperature, bool normalize, double limit, double hardest, double tie,
             const std::string& kind, bool keys_are_anchors, Address losses, Address saved, Address mean) {
  cuda::ContrastForwardTask task;
  task.problem = contrast_task(anchors, keys, anchor_groups, key_groups, temperature, device_temperature, normalize,
                               limit, hardest, tie, kind, keys_are_anchors);
  task.losses = pointer<double>(losses);
  task.saved = pointer<double>(saved);
  task.mean = pointer<double>(mean);
  Launch(place).run(cuda::contrast_forward_scratch_bytes, cuda::contrast_forward, task);
}

// grads: addresses for the anchors' parts, then for the keys' parts; 0 where none is wanted.
void backward(const py::tuple& place, const Parts& anchors, const Parts& keys, Address anchor_groups,
              Address key_groups, double temperature, Address device_temperature, bool normalize, double limit,
              double hardest, double tie, const std::string& kind, bool keys_are_anchors, Address saved,
              Address weights, Address scale_of_mean, const std::vector<Address>& grads, Address grad_temperature) {
  cuda::ContrastBackwardTask task;
  task.problem = contrast_task(anchors, keys, anchor_groups, key_groups, temperature, device_temperature, normalize,
                               limit, hardest, tie, kind, keys_are_anchors);
  task.saved = pointer<const double>(saved);
  task.weights = pointer<const double>(weights);
  task.scale_of_mean = pointer<const double>(scale_of_mean);
  if (grads.size() != anchors.size() + keys.size()) throw py::value_error("there must be a gradient for every part");
  std::transform(grads.begin(), grads.end(), task.grads, [](Address address) { return pointer(address); });
  task.grad_temperature = pointer<double>(grad_temperature);
  Launch(place).run(cuda::contrast_backward_scratch_bytes, cuda::contrast_backward, task);
}

}  // namespace

void bind_contrast_cuda(py::module_& module) {
  module.attr("contrast_saved_arrays") = cuda::contrast_saved_arrays;
  module.def("contrast_forward", forward);
  module.def("contrast_backward", backward);
}

}  // namespace gramless
