// The operations of csrc/ops/cuda_ops.hpp as the CPU core computes them, on memory of the host: what stands behind the
// Python half where its tests are about the Python half. The emulated kernels are the other double, slower and truer.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "ops/backends.hpp"
#include "ops/contrast_pass.hpp"
#include "ops/cuda_ops.hpp"
#include "ops/distillation.hpp"
#include "ops/hsic.hpp"
#include "support/dtype.hpp"
#include "support/thread_pool.hpp"

namespace gramless::cuda {
namespace {

// What the kernels take for granted of their scratch memory.
const char* problem_with(const void* scratch) {
  return reinterpret_cast<std::uintptr_t>(scratch) % 256 == 0 && scratch ? nullptr
                                                                         : "scratch must be aligned to 256 bytes";
}

std::int64_t bytes_of(Dtype dtype) { return dtype == Dtype::float64 ? 8 : dtype == Dtype::float32 ? 4 : 2; }

ArrayView view(const Matrix& matrix) {
  const std::int64_t size = bytes_of(matrix.dtype);
  return {matrix.data, matrix.rows, matrix.cols, matrix.row_stride * size, matrix.col_stride * size, matrix.dtype};
}

Execution execution(const Matrix& matrix) {
  return {computes_in_float64(matrix.dtype) ? Compute::float64 : Compute::float32, num_threads(), {}};
}

KernelSpec resolved(const Matrix& x, KernelSpec kernel) {
  kernel.median_rows = std::nullopt;  // a device's median is always exact
  if (!kernel.wants_median()) return kernel;
  return kernel.with_sigma(Representation(view(x), current_backend(), execution(x)).bandwidth(kernel, execution(x)));
}

// Gradients are computed in the compute type and rounded to the input's.
struct Gradient {
  const Matrix& like;
  void* target;
  std::vector<double> wide = std::vector<double>(static_cast<std::size_t>(like.rows * like.cols));

  void* buffer() { return target ? wide.data() : nullptr; }

  void store() const {
    if (!target) return;
    const auto* narrow = reinterpret_cast<const float*>(wide.data());
    if (bytes_of(like.dtype) >= 4) {
      std::memcpy(target, wide.data(), wide.size() * static_cast<std::size_t>(bytes_of(like.dtype)));
    } else {
      for (std::size_t i = 0; i < wide.size(); i++) store_16_bits(static_cast<char*>(target) + 2 * i, narrow[i]);
    }
  }

  void store_16_bits(char* address, float value) const {
    if (like.dtype == Dtype::float16) {
      const auto half = static_cast<_Float16>(value);
      std::memcpy(address, &half, 2);
    } else {
      const auto bits = std::bit_cast<std::uint32_t>(value);
      const auto rounded = static_cast<std::uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
      std::memcpy(address, &rounded, 2);
    }
  }
};

Estimator estimator(HsicEstimator which) {
  return which == HsicEstimator::unbiased ? Estimator::unbiased : Estimator::biased;
}

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

// saved: what the forward left for the backward, or null.
ContrastProblem contrast_problem(const ContrastTask& task, const double* saved) {
  ContrastProblem problem;
  for (int part = 0; part < task.anchors.part_count; part++) problem.anchors.push_back(view(task.anchors.parts[part]));
  for (int part = 0; part < task.keys.part_count; part++) problem.keys.push_back(view(task.keys.parts[part]));
  problem.anchor_groups = groups_of(task.anchors);
  problem.key_groups = groups_of(task.keys);
  problem.temperature = usable_temperature(task.temperature, task.device_temperature);
  problem.normalize = task.normalize;
  if (task.limit < INFINITY) {
    problem.anchor_limits.assign(problem.anchor_groups.size(), task.limit);
    problem.key_limits.assign(problem.key_groups.size(), task.limit);
  }
  if (saved != nullptr && task.hardest > 0) {
    const std::size_t anchors = problem.anchor_groups.size(), all = anchors + problem.key_groups.size();
    problem.anchor_limits.assign(saved + limits_array * all, saved + limits_array * all + anchors);
    problem.key_limits.assign(saved + limits_array * all + anchors, saved + (limits_array + 1) * all);
  }
  problem.positives = task.kind != ContrastKind::log_sum_exp;
  problem.denominator = task.kind == ContrastKind::decoupled ? Denominator::negatives : Denominator::all;
  return problem;
}

constexpr std::vector<double> ContrastSums::* saved_fields[] = {&ContrastSums::shift, &ContrastSums::negative,
                                                                &ContrastSums::positive, &ContrastSums::positive_logit};

}  // namespace

Operand default_operand(Dtype, bool) { return Operand::split; }

const char* check_device(int) { return nullptr; }

std::size_t hsic_scratch_bytes(const HsicTask&) { return 256; }

const char* hsic(const HsicTask& task, void* scratch, void*) {
  if (const char* problem = problem_with(scratch)) return problem;
  const LayerInput x{view(task.x), resolved(task.x, task.kernel_x)}, y{view(task.y), resolved(task.y, task.kernel_y)};
  const Space space = task.row_sums ? Space::gram : Space::automatic;
  const HsicValues found =
      hsic_values({&x, 1}, {&y, 1}, estimator(task.estimator), space, current_backend(), execution(task.x));
  if (task.values) std::copy_n(std::array{found.xy[0], found.xx[0], found.yy[0]}.begin(), 3, task.values);
  if (task.row_sums) std::copy(found.row_sums.begin(), found.row_sums.end(), task.row_sums);
  if (task.bandwidths) {
    task.bandwidths[0] = std::pow(x.kernel.sigma.value_or(0), 2);
    task.bandwidths[1] = std::pow(y.kernel.sigma.value_or(0), 2);
  }
  if (task.spreads) {
    task.spreads[0] = found.diagonal_x[0] - found.mean_x[0];
    task.spreads[1] = found.diagonal_y[0] - found.mean_y[0];
  }
  return nullptr;
}

std::size_t hsic_matrix_scratch_bytes(const HsicMatrixTask&) { return 256; }

const char* hsic_matrix(const HsicMatrixTask& task, void* scratch, void*) {
  if (const char* problem = problem_with(scratch)) return problem;
  std::vector<LayerInput> layers;
  for (std::int64_t l = 0; l < task.layers_x + task.layers_y; l++) {
    const KernelSpec& kernel = l < task.layers_x ? task.kernel_x : task.kernel_y;
    layers.push_back({view(task.layers[l]), resolved(task.layers[l], kernel)});
    if (task.bandwidths) task.bandwidths[l] = std::pow(layers.back().kernel.sigma.value_or(0), 2);
  }
  const std::span<const LayerInput> all(layers);
  const auto layers_x = static_cast<std::size_t>(task.layers_x);
  const Space space = task.row_sums ? Space::gram : Space::automatic;
  const HsicValues found = hsic_values(all.first(layers_x), all.subspan(layers_x), estimator(task.estimator), space,
                                       current_backend(), execution(task.layers[0]));
  std::ranges::copy(found.xy, task.values);
  std::ranges::copy(found.yy, std::ranges::copy(found.xx, task.own_values).out);
  if (task.row_sums) std::ranges::copy(found.row_sums, task.row_sums);
  return nullptr;
}

std::size_t median_scratch_bytes(const MedianTask&) { return 256; }

const char* median_squared_distance(const MedianTask& task, void*, void*) {
  Representation x(view(task.x), current_backend(), execution(task.x));
  const double median = x.median_distance(task.include_diagonal, std::nullopt, execution(task.x));
  *task.median = median * median;
  return nullptr;
}

std::size_t hsic_grad_scratch_bytes(const HsicGradTask&) { return 256; }

const char* hsic_grad(const HsicGradTask& task, void*, void*) {
  const HsicTask& forward = task.forward;
  LayerInput layers[] = {{view(forward.x), {}}, {view(forward.y), {}}};
  const KernelSpec* kernels[] = {&forward.kernel_x, &forward.kernel_y};
  for (int i = 0; i < 2; i++) layers[i].kernel = kernels[i]->with_sigma(std::sqrt(forward.bandwidths[i]));
  Gradient grads[] = {{forward.x, task.grad_x}, {forward.y, task.grad_y}};
  void* const buffers[] = {grads[0].buffer(), grads[1].buffer()};
  const HsicWeights weights{{task.weights, 1}, {task.weights + 1, 1}, {task.weights + 2, 1}};
  const std::span<const double> row_sums(forward.row_sums, static_cast<std::size_t>(2 * forward.x.rows));
  hsic_gradients({layers, 1}, {layers + 1, 1}, estimator(forward.estimator), row_sums, weights, buffers,
                 current_backend(), execution(forward.x));
  for (const Gradient& grad : grads) grad.store();
  return nullptr;
}

std::size_t contrast_forward_scratch_bytes(const ContrastForwardTask&) { return 256; }

const char* contrast_forward(const ContrastForwardTask& task, void* scratch, void*) {
  if (const char* problem = problem_with(scratch)) return problem;
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
  for (std::size_t field = 0; field < std::size(saved_fields); field++)
    std::ranges::copy(sums.*saved_fields[field], task.saved + field * sums.shift.size());
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
  const std::size_t rows = problem.anchor_groups.size(), columns = problem.key_groups.size();
  const double* const counts = task.saved + counts_array * (rows + columns);
  problem.anchor_positives.assign(counts, counts + rows);
  problem.key_positives.assign(counts + rows, counts + rows + columns);
  ContrastSums sums;
  for (std::size_t field = 0; field < std::size(saved_fields); field++)
    (sums.*saved_fields[field])
        .assign(task.saved + field * (rows + columns), task.saved + (field + 1) * (rows + columns));
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

DistillationProblem distillation_problem(const DistillTask& task) {
  DistillationProblem problem;
  problem.student = view(task.student);
  problem.teacher = view(task.teacher);
  problem.queue = view(task.queue);
  if (task.teacher_queue.data) problem.teacher_queue = view(task.teacher_queue);
  problem.temperature = usable_temperature(task.temperature, task.device_temperature);
  problem.teacher_temperature = task.teacher_temperature;
  problem.normalize = task.normalize;
  return problem;
}

constexpr std::vector<double> DistillationSums::* distill_fields[] = {
    &DistillationSums::student_shift, &DistillationSums::student, &DistillationSums::teacher_shift,
    &DistillationSums::teacher};

}  // namespace

std::size_t distill_forward_scratch_bytes(const DistillForwardTask&) { return 256; }

const char* distill_forward(const DistillForwardTask& task, void* scratch, void*) {
  if (const char* problem = problem_with(scratch)) return problem;
  const DistillationLosses found =
      distillation_losses(distillation_problem(task.problem), current_backend(), execution(task.problem.student));
  std::ranges::copy(found.losses, task.losses);
  double* saved = task.saved;
  for (const auto field : distill_fields) saved = std::ranges::copy(found.sums.*field, saved).out;
  if (task.mean) {
    *task.mean = 0;
    for (const double loss : found.losses) *task.mean += loss / static_cast<double>(found.losses.size());
  }
  return nullptr;
}

std::size_t distill_backward_scratch_bytes(const DistillBackwardTask&) { return 256; }

const char* distill_backward(const DistillBackwardTask& task, void*, void*) {
  const auto rows = static_cast<std::size_t>(task.problem.student.rows);
  DistillationSums sums;
  const double* saved = task.saved;
  for (const auto field : distill_fields) {
    (sums.*field).assign(saved, saved + rows);
    saved += rows;
  }
  std::vector<double> weights(rows);
  if (task.scale_of_mean)
    std::ranges::fill(weights, *task.scale_of_mean / static_cast<double>(rows));
  else
    std::copy_n(task.weights, rows, weights.begin());
  Gradient grad{task.problem.student, task.grad};
  const double by_temperature =
      distillation_gradient(distillation_problem(task.problem), sums, weights, grad.wide.data(), current_backend(),
                            execution(task.problem.student));
  grad.store();
  if (task.grad_temperature) *task.grad_temperature = by_temperature;
  return nullptr;
}

}  // namespace gramless::cuda
