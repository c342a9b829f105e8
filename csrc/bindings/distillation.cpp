// Similarity distillation for Python: translates, releases the GIL, translates back.
#include "ops/distillation/distillation.hpp"

#include "bindings/python_types.hpp"
#include "ops/dispatch/backends.hpp"
#include "support/dtype.hpp"
#include "support/thread_pool.hpp"

namespace gramless {
namespace {

using Numbers = py::array_t<double, py::array::c_style>;

constexpr std::vector<double> DistillationSums::* saved_fields[] = {
    &DistillationSums::student_shift, &DistillationSums::student, &DistillationSums::teacher_shift,
    &DistillationSums::teacher};

// Four arrays, the last perhaps None, two temperatures and whether rows are normalised.
struct Arguments {
  DistillationProblem problem;
  Execution execution;
};

Arguments arguments(const py::sequence& arrays, const std::pair<double, double>& temperatures, bool normalize,
                    PythonMonitor& monitor) {
  DistillationProblem problem{array_view(arrays[0]),
                              array_view(arrays[1]),
                              array_view(arrays[2]),
                              std::nullopt,
                              temperatures.first,
                              temperatures.second,
                              normalize};
  if (!arrays[3].is_none()) problem.teacher_queue = array_view(arrays[3]);
  bool in_float64 = false;
  for (const ArrayView& x :
       {problem.student, problem.teacher, problem.queue, problem.teacher_queue.value_or(problem.queue)})
    in_float64 |= computes_in_float64(x.dtype);
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
  const std::size_t count = found.losses.size();
  py::array_t<double> saved({std::size(saved_fields), count});
  for (std::size_t f = 0; f < std::size(saved_fields); f++)
    std::copy_n((found.sums.*saved_fields[f]).data(), count, saved.mutable_data() + f * count);
  return py::make_tuple(to_numpy(found.losses), saved);
}

double backward(const py::sequence& arrays, const std::pair<double, double>& temperatures, bool normalize,
                const Numbers& saved, const Numbers& weights, py::handle grad) {
  PythonMonitor monitor((py::none()));
  const Arguments with = arguments(arrays, temperatures, normalize, monitor);
  const auto count = static_cast<std::size_t>(with.problem.student.rows);
  if (static_cast<std::size_t>(saved.size()) != count * std::size(saved_fields) ||
      static_cast<std::size_t>(weights.size()) != count)
    throw py::value_error("what was saved belongs to another problem");
  DistillationSums sums;
  for (std::size_t f = 0; f < std::size(saved_fields); f++)
    (sums.*saved_fields[f]).assign(saved.data() + f * count, saved.data() + (f + 1) * count);
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
