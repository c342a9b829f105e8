// The operations of csrc/ops/api.hpp as the CPU core computes them, on memory of the host: the stand-in for a GPU in
// tests of the Python half. The emulated kernels are the other stand-in, slower and closer to a GPU.
#include <algorithm>
#include <cmath>
#include <vector>

#include "host_arrays.hpp"
#include "ops/api.hpp"
#include "ops/contrast/contrast_pass.hpp"
#include "ops/dispatch/backends.hpp"
#include "ops/dispatch/saved_arrays.hpp"
#include "ops/distillation/distillation.hpp"

namespace gramless::cuda {
namespace {

std::vector<std::int64_t> groups_of(const ContrastSide& side) {
  std::vector<std::int64_t> groups;
  for (int part = 0; part < side.part_count; part++)
    for (std::int64_t row = 0; row < side.parts[part].rows; row++)
      groups.push_back(side.groups ? side.groups[groups.size()] : row);
  return groups;
}

double usable_temperature(double number, const double* on_device) {
  const double temperature = on_device ? *on_device : number;
  return temperature == 0 || std::isinf(temperature) ? NAN : temperature;
}

constexpr std::size_t counts_array = 4, limits_array = 5;

// saved: the values that the forward saved for the backward, or null.
ContrastProblem contrast_problem(const ContrastTask& task, const double* saved) {
  ContrastProblem problem;
  for (int part = 0; part < task.anchors.part_count; part++) problem.anchors.push_back(view(task.anchors.parts[part]));
  for (int part = 0; part < task.keys.part_count; part++) problem.keys.push_back(view(task.keys.parts[part]));
  if (task.kind != ContrastKind::log_sum_exp) {  // whose groups a device does not read
    problem.anchor_groups = groups_of(task.anchors);
    problem.key_groups = groups_of(task.keys);
  }
  const auto anchors = static_cast<std::size_t>(rows_in(problem.anchors)),
             keys = static_cast<std::size_t>(rows_in(problem.keys)), all = anchors + keys;
  problem.temperature = usable_temperature(task.temperature, task.device_temperature);
  problem.normalize = task.normalize;
  if (task.limit < INFINITY) {
    problem.anchor_limits.assign(anchors, task.limit);
    problem.key_limits.assign(keys, task.limit);
  }
  if (saved != nullptr && task.hardest > 0) {
    problem.anchor_limits.assign(saved + limits_array * all, saved + limits_array * all + anchors);
    problem.key_limits.assign(saved + limits_array * all + anchors, saved + (limits_array + 1) * all);
  }
  problem.kind = task.kind;
  return problem;
}

}  // namespace

Operand default_operand(Dtype, bool) { return Operand::split; }

const char* check_device(int) { return nullptr; }

std::size_t contrast_forward_scratch_bytes(const ContrastForwardTask&) { return 256; }

const char* contrast_forward(const ContrastForwardTask& task, void* scratch, void*) {
  if (const char* error = error_in_scratch(scratch)) return error;
  ContrastProblem problem = contrast_problem(task.problem, nullptr);
  const Execution how = execution(task.problem.anchors.parts[0]);
  if (task.problem.hardest > 0) {
    const HardestLimits limits = hardest_limits(
        problem, {task.problem.hardest, task.problem.tie, task.problem.keys_are_anchors}, current_backend(), how);
    problem.anchor_limits = limits.anchors;
    problem.key_limits = limits.keys;
  }
  const ContrastSums sums = ContrastPass(problem, current_backend(), how).sums(false, how);
  const ContrastLosses losses = contrast_losses(problem, sums);
  std::fill_n(task.saved, contrast_saved_arrays * static_cast<std::int64_t>(sums.shift.size()), 0.0);
  double* const end = std::ranges::copy(losses.rows, task.losses).out;
  if (task.problem.keys_are_anchors) std::ranges::copy(losses.columns, end);
  if (task.problem.hardest > 0)
    std::ranges::copy(problem.key_limits,
                      std::ranges::copy(problem.anchor_limits, task.saved + limits_array * sums.shift.size()).out);
  write_arrays(sums, task.saved);
  double* const counts = task.saved + counts_array * sums.shift.size();
  double* const of_keys = std::ranges::copy(positive_counts(problem, false), counts).out;
  if (!problem.keys.empty()) std::ranges::copy(positive_counts(problem, true), of_keys);
  if (task.mean) {
    *task.mean = 0;
    for (const double loss : losses.rows) *task.mean += loss / static_cast<double>(losses.rows.size());
  }
  return nullptr;
}

std::size_t contrast_backward_scratch_bytes(const ContrastBackwardTask&) { return 256; }

const char* contrast_backward(const ContrastBackwardTask& task, void*, void*) {
  ContrastProblem problem = contrast_problem(task.problem, task.saved);
  const auto rows = static_cast<std::size_t>(rows_in(problem.anchors)),
             columns = static_cast<std::size_t>(rows_in(problem.keys));
  const double* const counts = task.saved + counts_array * (rows + columns);
  problem.anchor_positives.assign(counts, counts + rows);
  problem.key_positives.assign(counts + rows, counts + rows + columns);
  const auto sums = read_arrays<ContrastSums>(task.saved, rows + columns);
  std::vector<double> weights(rows + columns);
  if (task.scale_of_mean) {
    std::fill_n(weights.begin(), rows, *task.scale_of_mean / static_cast<double>(rows));
  } else {
    std::copy_n(task.weights, rows + (task.problem.keys_are_anchors ? columns : 0), weights.begin());
  }
  std::vector<Gradient> grads;
  for (const ContrastSide* part : {&task.problem.anchors, &task.problem.keys})
    for (int i = 0; i < part->part_count; i++) grads.push_back({part->parts[i], task.grads[grads.size()]});
  std::vector<void*> buffers;
  for (Gradient& grad : grads) buffers.push_back(grad.buffer());
  const std::span<const double> all(weights);
  const Execution how = execution(task.problem.anchors.parts[0]);
  const double by_temperature =
      ContrastPass(problem, current_backend(), how).gradients(sums, all.first(rows), all.subspan(rows), buffers, how);
  for (const Gradient& grad : grads) grad.store();
  if (task.grad_temperature) *task.grad_temperature = by_temperature;
  return nullptr;
}

namespace {

DistillTask with_usable_temperature(DistillTask task) {
  task.temperature = usable_temperature(task.temperature, task.device_temperature);
  return task;
}

}  // namespace

std::size_t distill_forward_scratch_bytes(const DistillForwardTask&) { return 256; }

const char* distill_forward(const DistillForwardTask& task, void* scratch, void*) {
  if (const char* error = error_in_scratch(scratch)) return error;
  const DistillationLosses found =
      distillation_losses(with_usable_temperature(task.problem), current_backend(), execution(task.problem.student));
  std::ranges::copy(found.losses, task.losses);
  write_arrays(found.sums, task.saved);
  if (task.mean) {
    *task.mean = 0;
    for (const double loss : found.losses) *task.mean += loss / static_cast<double>(found.losses.size());
  }
  return nullptr;
}

std::size_t distill_backward_scratch_bytes(const DistillBackwardTask&) { return 256; }

const char* distill_backward(const DistillBackwardTask& task, void*, void*) {
  const auto rows = static_cast<std::size_t>(task.problem.student.rows);
  const auto sums = read_arrays<DistillationSums>(task.saved, rows);
  std::vector<double> weights(rows);
  if (task.scale_of_mean)
    std::ranges::fill(weights, *task.scale_of_mean / static_cast<double>(rows));
  else
    std::copy_n(task.weights, rows, weights.begin());
  Gradient grad{task.problem.student, task.grad};
  const double by_temperature =
      distillation_gradient(with_usable_temperature(task.problem), sums, weights, grad.wide.data(), current_backend(),
                            execution(task.problem.student));
  grad.store();
  if (task.grad_temperature) *task.grad_temperature = by_temperature;
  return nullptr;
}

}  // namespace gramless::cuda
