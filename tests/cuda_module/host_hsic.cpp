// HSIC of csrc/ops/api.hpp as the CPU core computes it, on memory of the host.
#include "ops/hsic/hsic.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "host_arrays.hpp"
#include "ops/dispatch/backends.hpp"

namespace gramless::cuda {
namespace {

KernelSpec resolved(const Matrix& x, KernelSpec kernel) {
  kernel.median_rows = std::nullopt;  // a device's median is always exact
  if (!kernel.wants_median()) return kernel;
  return kernel.with_sigma(Representation(view(x), current_backend(), execution(x)).bandwidth(kernel, execution(x)));
}

// The CPU core may scale layers, CUDA kernels do not: converts an HSIC from the layers' units to those of the data, and
// a derivative with respect to the data's HSIC to one with respect to the layers'.
double in_units(double value, int exponent_x, int exponent_y) { return std::ldexp(value, exponent_x + exponent_y); }

}  // namespace

std::size_t hsic_scratch_bytes(const HsicTask&) { return 256; }

const char* hsic(const HsicTask& task, void* scratch, void*) {
  if (const char* error = error_in_scratch(scratch)) return error;
  const LayerInput x{view(task.x), resolved(task.x, task.kernel_x)}, y{view(task.y), resolved(task.y, task.kernel_y)};
  const Space space = task.row_sums ? Space::gram : Space::automatic;
  const HsicValues found = hsic_values({&x, 1}, {&y, 1}, task.estimator, space, current_backend(), execution(task.x));
  const int of_x = found.exponents[0], of_y = found.exponents[1];
  if (task.values) {
    task.values[0] = in_units(found.xy[0], of_x, of_y);
    task.values[1] = in_units(found.xx[0], of_x, of_x);
    task.values[2] = in_units(found.yy[0], of_y, of_y);
  }
  if (task.row_sums) std::copy(found.row_sums.begin(), found.row_sums.end(), task.row_sums);
  if (task.bandwidths) {
    task.bandwidths[0] = std::pow(x.kernel.sigma.value_or(0), 2);
    task.bandwidths[1] = std::pow(y.kernel.sigma.value_or(0), 2);
  }
  if (task.spreads) {
    task.spreads[0] = std::ldexp(found.diagonal_x[0] - found.mean_x[0], of_x);
    task.spreads[1] = std::ldexp(found.diagonal_y[0] - found.mean_y[0], of_y);
  }
  return nullptr;
}

std::size_t hsic_matrix_scratch_bytes(const HsicMatrixTask&) { return 256; }

const char* hsic_matrix(const HsicMatrixTask& task, void* scratch, void*) {
  if (const char* error = error_in_scratch(scratch)) return error;
  std::vector<LayerInput> layers;
  for (std::int64_t l = 0; l < task.layers_x + task.layers_y; l++) {
    const KernelSpec& kernel = l < task.layers_x ? task.kernel_x : task.kernel_y;
    layers.push_back({view(task.layers[l]), resolved(task.layers[l], kernel)});
    if (task.bandwidths) task.bandwidths[l] = std::pow(layers.back().kernel.sigma.value_or(0), 2);
  }
  const std::span<const LayerInput> all(layers);
  const auto layers_x = static_cast<std::size_t>(task.layers_x);
  const Space space = task.row_sums ? Space::gram : Space::automatic;
  const HsicValues found = hsic_values(all.first(layers_x), all.subspan(layers_x), task.estimator, space,
                                       current_backend(), execution(task.layers[0]));
  const std::size_t columns = task.layers_y ? layers.size() - layers_x : layers_x;
  const int* const of_columns = found.exponents.data() + (task.layers_y ? layers_x : 0);
  for (std::size_t i = 0; i < found.xy.size(); i++)
    task.values[i] = in_units(found.xy[i], found.exponents[i / columns], of_columns[i % columns]);
  std::ranges::copy(found.yy, std::ranges::copy(found.xx, task.own_values).out);
  for (std::size_t l = 0; l < layers.size(); l++)
    task.own_values[l] = in_units(task.own_values[l], found.exponents[l], found.exponents[l]);
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
  int exponents[2];
  for (int i = 0; i < 2; i++) {
    layers[i].kernel = kernels[i]->with_sigma(std::sqrt(forward.bandwidths[i]));
    Representation layer(layers[i].x, current_backend(), execution(forward.x));
    layer.resolve(layers[i].kernel, execution(forward.x));
    exponents[i] = layer.exponent();
  }
  Gradient grads[] = {{forward.x, task.grad_x}, {forward.y, task.grad_y}};
  void* const buffers[] = {grads[0].buffer(), grads[1].buffer()};
  const double of_own_units[] = {in_units(task.weights[0], exponents[0], exponents[1]),
                                 in_units(task.weights[1], exponents[0], exponents[0]),
                                 in_units(task.weights[2], exponents[1], exponents[1])};
  const HsicWeights weights{{of_own_units, 1}, {of_own_units + 1, 1}, {of_own_units + 2, 1}};
  const std::span<const double> row_sums(forward.row_sums, static_cast<std::size_t>(2 * forward.x.rows));
  hsic_gradients({layers, 1}, {layers + 1, 1}, forward.estimator, row_sums, weights, buffers, current_backend(),
                 execution(forward.x));
  for (const Gradient& grad : grads) grad.store();
  return nullptr;
}

}  // namespace gramless::cuda
