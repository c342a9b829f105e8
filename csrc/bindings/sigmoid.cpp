// The sigmoid loss for Python: translates, releases the GIL, translates back.
#include "bindings/sigmoid.hpp"

#include "bindings/python_types.hpp"
#include "ops/dispatch/backends.hpp"
#include "ops/dispatch/saved_arrays.hpp"
#include "ops/sigmoid/sigmoid_loss.hpp"
#include "support/dtype.hpp"
#include "support/thread_pool.hpp"

namespace gramless {
namespace {

using Numbers = py::array_t<double, py::array::c_style>;

// The sums of all rows, (3, n): losses, slopes, slopes times dot products. Gradients that are not None are written.
Numbers pairs(const std::pair<py::object, py::object>& arrays, const std::pair<double, double>& scale_and_bias,
              bool normalize, std::int64_t first_positive, const Numbers& weights,
              const std::pair<py::object, py::object>& grads) {
  const SigmoidProblem problem{array_view(arrays.first),
                               array_view(arrays.second),
                               scale_and_bias.first,
                               scale_and_bias.second,
                               normalize,
                               first_positive};
  if (problem.a.cols != problem.b.cols || weights.size() != problem.a.rows)
    throw py::value_error("there must be as many columns, and a weight for every row");
  PythonMonitor monitor((py::none()));
  const bool in_float64 = computes_in_float64(problem.a.dtype) || computes_in_float64(problem.b.dtype);
  const Execution execution{in_float64 ? Compute::float64 : Compute::float32, num_threads(), monitor.monitor()};
  void* const grad_a = gradient_target(grads.first, problem.a, execution.compute);
  void* const grad_b = gradient_target(grads.second, problem.b, execution.compute);
  const std::span<const double> of_rows(weights.data(), static_cast<std::size_t>(weights.size()));
  const OpTable& ops = current_backend();
  SigmoidValues found;
  {
    const Unlocked unlocked;
    found = sigmoid_loss(problem, of_rows, grad_a, grad_b, ops, execution);
  }
  Numbers sums({SigmoidValues::arrays().size(), found.loss.size()});
  write_arrays(found, sums.mutable_data());
  return sums;
}

}  // namespace

void bind_sigmoid(py::module_& module) { module.def("sigmoid_pairs", pairs); }

}  // namespace gramless
