// Contrastive losses for Python: translates, releases the GIL, translates back.
#include "ops/contrast/contrast_pass.hpp"

#include <algorithm>

#include "bindings/python_types.hpp"
#include "ops/dispatch/backends.hpp"
#include "ops/dispatch/saved_arrays.hpp"
#include "support/dtype.hpp"
#include "support/thread_pool.hpp"

namespace gramless {
namespace {

using Integers = py::array_t<std::int64_t, py::array::c_style>;
using Numbers = py::array_t<double, py::array::c_style>;

template <class Value>
std::vector<Value> to_vector(const py::array_t<Value, py::array::c_style>& array) {
  return {array.data(), array.data() + array.size()};
}

std::vector<ArrayView> views(const py::sequence& arrays) {
  std::vector<ArrayView> found;
  for (const py::handle array : arrays) found.push_back(array_view(array));
  return found;
}

void check_groups(const std::vector<std::int64_t>& groups, std::int64_t rows) {
  if (static_cast<std::int64_t>(groups.size()) != rows) throw py::value_error("there must be a group for every row");
  for (const std::int64_t group : groups)
    if (group < -1 || group > INT32_MAX) throw py::value_error("groups must lie in [-1, 2^31)");
}

// One limit for all; or arrays with a limit for every anchor and every key, optionally followed by arrays of floors.
// None in place of an array leaves nothing out.
void limits_from_python(ContrastProblem& problem, py::handle limits) {
  if (limits.is_none()) return;
  const auto rows = static_cast<std::size_t>(rows_in(problem.anchors)),
             keys = static_cast<std::size_t>(rows_in(problem.keys));
  if (py::isinstance<py::tuple>(limits)) {
    const auto given = py::reinterpret_borrow<py::tuple>(limits);
    std::vector<double>* const targets[] = {&problem.anchor_limits, &problem.key_limits, &problem.anchor_floors,
                                            &problem.key_floors};
    if (given.size() != 2 && given.size() != 4) throw py::value_error("there must be 2 or 4 arrays of limits");
    for (std::size_t i = 0; i < given.size(); i++)
      if (!given[i].is_none()) *targets[i] = to_vector(given[i].cast<Numbers>());
  } else {
    problem.anchor_limits.assign(rows, limits.cast<double>());
    problem.key_limits.assign(keys, limits.cast<double>());
  }
  for (const auto& [of_anchors, of_keys] :
       {std::pair{&problem.anchor_limits, &problem.key_limits}, {&problem.anchor_floors, &problem.key_floors}})
    if (!(of_anchors->empty() && of_keys->empty()) && (of_anchors->size() != rows || of_keys->size() != keys))
      throw py::value_error("there must be a limit for every row");
}

// The rows of a guide for each of the anchors and of the keys, or None.
void guide_from_python(ContrastProblem& problem, py::handle guide) {
  if (guide.is_none()) return;
  const auto [anchors, keys] = guide.cast<std::pair<py::sequence, py::sequence>>();
  problem.guide_anchors = views(anchors);
  problem.guide_keys = views(keys);
  const auto alike = [](const ArrayView& x, const ArrayView& y) { return x.rows == y.rows; };
  if (!std::ranges::equal(problem.guide_anchors, problem.anchors, alike) ||
      !std::ranges::equal(problem.guide_keys, problem.keys, alike))
    throw py::value_error("a guide must have a row for every row");
  const std::int64_t width = problem.guide_anchors[0].cols;
  for (const auto* parts : {&problem.guide_anchors, &problem.guide_keys})
    for (const ArrayView& part : *parts)
      if (part.cols != width) throw py::value_error("rows of a guide must have one width");
}

// A pair of arrays with the number of positives of every anchor and every key, or None: counted from the groups.
void positives_from_python(ContrastProblem& problem, py::handle positives) {
  if (positives.is_none()) return;
  const auto [of_anchors, of_keys] = positives.cast<std::pair<Integers, Integers>>();
  problem.anchor_positives = to_vector(of_anchors);
  problem.key_positives = to_vector(of_keys);
  if (problem.anchor_positives.size() != problem.anchor_groups.size() ||
      problem.key_positives.size() != problem.key_groups.size())
    throw py::value_error("there must be a number of positives for every row");
}

ContrastProblem contrast_problem(const py::sequence& anchors, const py::sequence& keys, py::handle anchor_groups,
                                 py::handle key_groups, double temperature, bool normalize, const std::string& kind,
                                 py::handle limits, py::handle guide = py::none()) {
  ContrastProblem problem;
  problem.anchors = views(anchors);
  problem.keys = views(keys);
  problem.temperature = temperature;
  problem.normalize = normalize;
  problem.kind = contrast_kind(kind);
  problem.anchor_groups = to_vector(anchor_groups.cast<Integers>());
  if (problem.has_positives() || !problem.anchor_groups.empty()) {
    check_groups(problem.anchor_groups, rows_in(problem.anchors));
    if (!problem.keys.empty()) problem.key_groups = to_vector(key_groups.cast<Integers>());
    check_groups(problem.key_groups, rows_in(problem.keys));
  }
  limits_from_python(problem, limits);
  guide_from_python(problem, guide);
  return problem;
}

Execution contrast_execution(const ContrastProblem& problem, PythonMonitor& monitor) {
  bool in_float64 = false;
  for (const auto* parts : {&problem.anchors, &problem.keys})
    for (const ArrayView& part : *parts) in_float64 |= computes_in_float64(part.dtype);
  return {in_float64 ? Compute::float64 : Compute::float32, num_threads(), monitor.monitor()};
}

py::array_t<double> pack_sums(const ContrastSums& sums) {
  py::array_t<double> saved({ContrastSums::arrays().size(), sums.shift.size()});
  write_arrays(sums, saved.mutable_data());
  return saved;
}

ContrastSums unpack_sums(const Numbers& saved, std::size_t rows) {
  if (static_cast<std::size_t>(saved.size()) != rows * ContrastSums::arrays().size())
    throw py::value_error("the saved sums belong to another problem");
  return read_arrays<ContrastSums>(saved.data(), rows);
}

// (row losses, column losses or None, saved, with `keep` the object for the backward, else None)
py::tuple forward(const py::sequence& anchors, const py::sequence& keys, py::handle anchor_groups,
                  py::handle key_groups, double temperature, bool normalize, const std::string& kind, py::handle limits,
                  py::handle guide, bool keep) {
  ContrastProblem problem =
      contrast_problem(anchors, keys, anchor_groups, key_groups, temperature, normalize, kind, limits, guide);
  PythonMonitor monitor((py::none()));
  const Execution how = contrast_execution(problem, monitor);
  const OpTable& ops = current_backend();
  std::unique_ptr<ContrastPass> pass;
  ContrastSums sums;
  ContrastLosses losses;
  {
    const Unlocked unlocked;
    pass = std::make_unique<ContrastPass>(std::move(problem), ops, how);
    sums = pass->sums(keep, how);
    losses = contrast_losses(pass->problem(), sums);
  }
  const py::object columns = pass->problem().keys.empty() ? py::none() : py::object(to_numpy(losses.columns));
  const py::object kept = keep ? py::cast(std::move(pass)) : py::none();
  return py::make_tuple(to_numpy(losses.rows), columns, pack_sums(sums), kept);
}

// The weights of the losses and the arrays for the gradients.
struct Targets {
  Targets(const ContrastProblem& problem, const Numbers& saved, const Numbers& row_weights, py::handle column_weights,
          const py::sequence& grads, Compute compute) {
    const auto anchors = static_cast<std::size_t>(rows_in(problem.anchors)),
               keys = static_cast<std::size_t>(rows_in(problem.keys));
    sums = unpack_sums(saved, anchors + keys);
    rows = to_vector(row_weights);
    if (!column_weights.is_none()) columns = to_vector(column_weights.cast<Numbers>());
    if (rows.size() != anchors || (!columns.empty() && columns.size() != keys))
      throw py::value_error("there must be a weight for every loss");
    for (const auto* parts : {&problem.anchors, &problem.keys})
      for (const ArrayView& part : *parts) pointers.push_back(gradient_target(grads[pointers.size()], part, compute));
  }

  ContrastSums sums;
  std::vector<double> rows, columns;
  std::vector<void*> pointers;
};

double backward(const py::sequence& anchors, const py::sequence& keys, py::handle anchor_groups, py::handle key_groups,
                double temperature, bool normalize, const std::string& kind, py::handle limits, py::handle guide,
                const Numbers& saved, const Numbers& row_weights, py::handle column_weights, const py::sequence& grads,
                py::handle positives) {
  ContrastProblem problem =
      contrast_problem(anchors, keys, anchor_groups, key_groups, temperature, normalize, kind, limits, guide);
  positives_from_python(problem, positives);
  PythonMonitor monitor((py::none()));
  const Execution how = contrast_execution(problem, monitor);
  const Targets to(problem, saved, row_weights, column_weights, grads, how.compute);
  const OpTable& ops = current_backend();
  const Unlocked unlocked;
  return ContrastPass(std::move(problem), ops, how).gradients(to.sums, to.rows, to.columns, to.pointers, how);
}

// The backward from the object that a forward with `keep` returned.
double kept_backward(const ContrastPass& pass, const Numbers& saved, const Numbers& row_weights,
                     py::handle column_weights, const py::sequence& grads) {
  PythonMonitor monitor((py::none()));
  const Execution how = contrast_execution(pass.problem(), monitor);
  const Targets to(pass.problem(), saved, row_weights, column_weights, grads, how.compute);
  const Unlocked unlocked;
  return pass.gradients(to.sums, to.rows, to.columns, to.pointers, how);
}

// (limits of anchors, limits of keys) or, `easiest`, floors, to be passed to forward and backward.
py::tuple limits(const py::sequence& anchors, const py::sequence& keys, py::handle anchor_groups, py::handle key_groups,
                 bool normalize, double fraction, double tie, bool of_keys, bool easiest) {
  const ContrastProblem problem =
      contrast_problem(anchors, keys, anchor_groups, key_groups, 1, normalize, "softmax", py::none());
  PythonMonitor monitor((py::none()));
  const Execution how = contrast_execution(problem, monitor);
  const OpTable& ops = current_backend();
  HardestLimits found;
  {
    const Unlocked unlocked;
    found = hardest_limits(problem, {fraction, tie, of_keys, easiest}, ops, how);
  }
  return py::make_tuple(to_numpy(found.anchors), to_numpy(found.keys));
}

// The cosine of row i of one array with row i of the other, in the dtype of tiles.
py::array cosines(py::handle x, py::handle y, bool in_float64) {
  const ArrayView of_x = array_view(x), of_y = array_view(y);
  if (of_x.rows != of_y.rows || of_x.cols != of_y.cols) throw py::value_error("both must have one shape");
  PythonMonitor monitor((py::none()));
  const Execution how{in_float64 ? Compute::float64 : Compute::float32, num_threads(), monitor.monitor()};
  py::array found(in_float64 ? py::dtype::of<double>() : py::dtype::of<float>(), std::vector<py::ssize_t>{of_x.rows});
  void* const products = found.mutable_data();
  const OpTable& ops = current_backend();
  {
    const Unlocked unlocked;
    paired_cosines(of_x, of_y, products, ops, how);
  }
  return found;
}

}  // namespace

void bind_contrast(py::module_& module) {
  module.def("contrast_limits", limits);
  module.def("paired_cosines", cosines);
  module.def("contrast_forward", forward);
  module.def("contrast_backward", backward);
  py::class_<ContrastPass>(module, "ContrastPass").def("backward", kept_backward);
}

}  // namespace gramless
