// Similarity distillation for Python: translates, releases the GIL, translates back.
#include "ops/distillation/distillation.hpp"

#include "bindings/python_types.hpp"
#include "ops/dispatch/backends.hpp"
#include "ops/dispatch/saved_arrays.hpp"
#include "support/dtype.hpp"
#include "support/thread_pool.hpp"

namespace gramless {
namespace {

using Numbers = py::array_t<double, py::array::c_style>;

// Four arrays, the last perhaps None, two temperatures and whether rows are normalised.
struct Arguments {
  DistillTask problem;
  Execution execution;
};

Arguments arguments(const py::sequence& arrays, const std::pair<double, double>& temperatures, bool normalize,
                    PythonMonitor& monitor) {
  const DistillTask problem = distill_task(arrays, temperatures.first, temperatures.second, normalize, array_view);
  bool in_float64 = false;
  for (const Matrix& x : {problem.student, problem.teacher, problem.queue, problem.teacher_queue})
    in_float64 |= x.data != nullptr && computes_in_float64(x.dtype);
  return {problem, {in_float64 ? Compute::float64 : Compute::float32, num_threads(), monitor.monitor()}};
}

// (losses, saved)
py::tuple forward(const py::sequence& arrays, const std::pair<double, double>& temperatures, bool normalize) {
  PythonMonitor monitor((py::none()));
  const Arguments with = arguments(arrays, temperatures, normalize, monitor);
  const OpTable& ops = current_backend();
  DistillationLosses found;
  {
    const Unlocked unlocked;
    found = distillation_losses(with.problem, ops, with.execution);
  }
  py::array_t<double> saved({DistillationSums::arrays().size(), found.losses.size()});
  write_arrays(found.sums, saved.mutable_data());
  return py::make_tuple(to_numpy(found.losses), saved);
}

double backward(const py::sequence& arrays, const std::pair<double, double>& temperatures, bool normalize,
                const Numbers& saved, const Numbers& weights, py::handle grad) {
  PythonMonitor monitor((py::none()));
  const Arguments with = arguments(arrays, temperatures, normalize, monitor);
  const auto count = static_cast<std::size_t>(with.problem.student.rows);
  if (static_cast<std::size_t>(saved.size()) != count * DistillationSums::arrays().size() ||
      static_cast<std::size_t>(weights.size()) != count)
    throw py::value_error("the saved sums belong to another problem");
  const auto sums = read_arrays<DistillationSums>(saved.data(), count);
  void* const target = gradient_target(grad, with.problem.student, with.execution.compute);
  if (target == nullptr) throw py::value_error("there must be an array for the gradient");
  const std::vector<double> of_rows(weights.data(), weights.data() + count);
  const OpTable& ops = current_backend();
  const Unlocked unlocked;
  return distillation_gradient(with.problem, sums, of_rows, target, ops, with.execution);
}

}  // namespace

void bind_distillation(py::module_& module) {
  module.def("distill_forward", forward);
  module.def("distill_backward", backward);
}

}  // namespace gramless
