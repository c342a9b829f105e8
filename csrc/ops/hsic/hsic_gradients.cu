// The gradients of HSIC on the device: derivatives with respect to kernel values, and the algebra before and after one
// walk per layer. The CUDA twin of hsic_gradients.cpp.
#include "engine/instructions/block_sums.cuh"
#include "engine/pack/pack.cuh"
#include "ops/dispatch/check_matrix.hpp"
#include "ops/dispatch/matrix_elements.cuh"
#include "ops/dispatch/visit_operand.cuh"
#include "ops/gram/kernel_grad.cuh"
#include "ops/hsic/row_limits.cuh"

namespace gramless::cuda {
namespace {

constexpr int one_block = 256, row_threads = 256;

// Common to the gradients with respect to both layers. Row sums are those of the values that tiles hold, including the
// diagonal's if the estimator has it.
template <class Operand>
struct Problem {
  DeviceLayer<Operand> layers[2];
  std::int64_t n;
  bool biased;
  const double* row_sums;  // (2, n)
  const double* weights;   // (3): of xy, xx, yy

  // The coefficient of layer b's value in the derivative with respect to layer a's.
  __device__ double coefficient(int a, int b) const {
    const double count = static_cast<double>(n);
    const double normaliser = biased ? (count - 1) * (count - 1) : count * (count - 3);
    return (a == b ? 2 * weights[1 + a] : weights[0]) * layers[b].kernel->unit / normaliser;
  }
  // The terms from the row sums in the derivative with respect to layer a's value: of row i, and of all rows.
  __device__ double row_term(int a, std::int64_t i) const {
    const double per_row = static_cast<double>(biased ? n : n - 2);
    return -(coefficient(a, 0) * row_sums[i] + coefficient(a, 1) * row_sums[n + i]) / per_row;
  }
  __device__ double constant(int a, const double (&totals)[2]) const {
    const double count = static_cast<double>(n), per_total = biased ? count * count : (count - 1) * (count - 2);
    return (coefficient(a, 0) * totals[0] + coefficient(a, 1) * totals[1]) / per_total;
  }
  // k(x_i, x_i) as tiles hold it.
  __device__ double diagonal(int layer, std::int64_t i) const {
    return layers[layer].kernel->diagonal(static_cast<double>(layers[layer].norms[i]));
  }
};

template <class Operand>
__global__ void __launch_bounds__(one_block)
    prepare_derivatives(Problem<Operand> problem, PairDerivative* derivatives) {
  double* const shared = shared_memory<double>();
  double totals[2] = {};
  for (std::int64_t i = threadIdx.x; i < problem.n; i += one_block)
    for (int a = 0; a < 2; a++) totals[a] += problem.row_sums[a * problem.n + i];
  sum_over_block(totals, shared);
  float terms[2] = {}, values[2] = {}, scales[2] = {1, 1};
  const auto raise = [](float& largest, double value) {
    const float magnitude = static_cast<float>(value < 0 ? -value : value);
    largest = magnitude > largest ? magnitude : largest;
  };
  for (std::int64_t i = threadIdx.x; i < problem.n; i += one_block)
    for (int a = 0; a < 2; a++) {
      raise(terms[a], problem.row_term(a, i));
      raise(values[a], problem.diagonal(a, i));  // no kernel value is larger than the largest of the diagonal
      if constexpr (is_scaled<Operand>) raise(scales[a], static_cast<double>(problem.layers[a].scales[i]));
    }
  for (int a = 0; a < 2; a++) {
    terms[a] = largest_of_block(terms[a], reinterpret_cast<float*>(shared));
    values[a] = largest_of_block(values[a], reinterpret_cast<float*>(shared));
    scales[a] = largest_of_block(scales[a], reinterpret_cast<float*>(shared));
  }
  if (threadIdx.x != 0) return;
#pragma unroll
  for (int a = 0; a < 2; a++) {
    const int b = 1 - a;
    PairDerivative found{problem.coefficient(a, a), problem.coefficient(a, b), problem.constant(a, totals), 1};
    const auto held = [&](int layer) {  // the largest magnitude of a value that a tile holds
      return static_cast<double>(values[layer]) + 2 * fabs(static_cast<double>(problem.layers[layer].kernel->shift));
    };
    const double largest = fabs(found.own) * held(a) + fabs(found.other) * held(b) + 2 * static_cast<double>(terms[a]) +
                           fabs(found.constant);
    found.scale = 0.25 * static_cast<double>(split_scale(static_cast<float>(largest) * scales[a]));
    derivatives[a] = found;
  }
}

template <class Operand>
__global__ void fill_row_terms(Problem<Operand> problem, int a, std::int64_t padded_rows,
                               typename Operand::Value* row_terms) {
  const std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i >= padded_rows) return;
  row_terms[i] = static_cast<typename Operand::Value>(i < problem.n ? problem.row_term(a, i) : 0);
}

template <class Operand>
struct FinishTask {
  Problem<Operand> problem;
  int a;
  const PairDerivative* derivatives;  // (2)
  std::int64_t padded_rows, strips, width;
  const typename Operand::Value* partials;  // (strips, padded rows, stride)
  const double* weight_sums;                // (strips, padded rows)
  void* grad;                               // (n, width)
  Dtype dtype;
};

// grad_i = factor * sum of weights times rows + row_factor * (x_i - mean). One warp per row.
template <class Operand>
__global__ void __launch_bounds__(row_threads) finish_kernel_grad(FinishTask<Operand> task) {
  const std::int64_t i = (std::int64_t{blockIdx.x} * row_threads + threadIdx.x) / warp_lanes;
  const Problem<Operand>& problem = task.problem;
  if (i >= problem.n) return;
  const auto& layer = problem.layers[task.a];
  const auto& kernel = *layer.kernel;
  const PairDerivative derivative = task.derivatives[task.a];
  const double factor = 2 * kernel.slope_factor;  // every pair is two entries of the Gram matrix
  double row_factor = 0;
  visit_formula(kernel.formula, [&]<class Alternative>(Alternative) {
    if constexpr (Alternative::of_distance) {
      for (std::int64_t strip = 0; strip < task.strips; strip++)
        row_factor -= factor * task.weight_sums[strip * task.padded_rows + i];
    } else if (problem.biased) {
      row_factor =
          2 * (derivative.constant + 2 * problem.row_term(task.a, i) + derivative.own * problem.diagonal(task.a, i) +
               derivative.other * problem.diagonal(1 - task.a, i));
    }
  });
  const std::int64_t stride = layer.rows.stride();
  const double scale = is_scaled<Operand> ? static_cast<double>(layer.scales[i]) : 1;
  for (std::int64_t k = static_cast<int>(threadIdx.x) % warp_lanes; k < task.width; k += warp_lanes) {
    double sum = 0;
    for (std::int64_t strip = 0; strip < task.strips; strip++)
      sum += static_cast<double>(task.partials[(strip * task.padded_rows + i) * stride + k]);
    const double centered = static_cast<double>(packed_value(layer.rows, i * stride + k)) * scale;
    set_element(task.grad, task.dtype, i * task.width + k, factor * sum / derivative.scale + row_factor * centered);
  }
}

template <class Operand>
class HsicGrad {
 public:
  using Value = typename Operand::Value;

  explicit HsicGrad(const HsicGradTask& task, void* scratch = nullptr)
      : task_(task),
        layout_(scratch),
        x_(task.forward.x, layout_),
        y_(task.forward.y, layout_),
        grad_(task.forward.x.rows, wider(), layout_) {
    row_terms_ = layout_.take<Value>(padded());
    derivatives_ = layout_.take<PairDerivative>(2);
  }

  std::size_t bytes() const { return layout_.bytes(); }

  const char* run(void* stream) const {
    LaunchStream launches(stream);
    x_.pack(launches);
    y_.pack(launches);
    resolve_layers<Operand>({resolving(x_, task_.forward.kernel_x, 0), resolving(y_, task_.forward.kernel_y, 1)},
                            task_.forward.x.rows, launches);
    const Problem<Operand> problem{{x_.layer(), y_.layer()},
                                   task_.forward.x.rows,
                                   task_.forward.estimator == Estimator::biased,
                                   task_.forward.row_sums,
                                   task_.weights};
    launches.launch(prepare_derivatives<Operand>, {1}, one_block, 2 * one_block / warp_lanes * sizeof(double), problem,
                    derivatives_);
    if (task_.grad_x != nullptr) differentiate(problem, 0, task_.forward.x, task_.grad_x, launches);
    if (task_.grad_y != nullptr) differentiate(problem, 1, task_.forward.y, task_.grad_y, launches);
    return launches.error();
  }

 private:
  std::int64_t padded() const { return DeviceLayer<Operand>::padded_rows(task_.forward.x.rows); }
  std::int64_t wider() const {
    return task_.forward.x.cols > task_.forward.y.cols ? task_.forward.x.cols : task_.forward.y.cols;
  }

  // Resolves the kernel with the bandwidth of the forward pass.
  ResolveTask<Operand> resolving(const DeviceRepresentation<Operand>& x, const KernelSpec& kernel, int layer) const {
    return x.resolving({.formula = kernel.formula}, task_.forward.bandwidths + layer, nullptr);
  }

  void differentiate(const Problem<Operand>& problem, int a, const Matrix& x, void* grad,
                     LaunchStream& launches) const {
    launches.launch(fill_row_terms<Operand>, {static_cast<unsigned>(blocks_of(padded(), 256))}, 256, 0, problem, a,
                    padded(), row_terms_);
    grad_.run(problem.layers[a], problem.layers[1 - a], row_terms_, derivatives_ + a, launches);
    const FinishTask<Operand> finish{problem,        a,      derivatives_,     padded(),
                                     grad_.strips(), x.cols, grad_.partials(), grad_.weight_sums(),
                                     grad,           x.dtype};
    launches.launch(finish_kernel_grad<Operand>,
                    {static_cast<unsigned>(blocks_of(problem.n, row_threads / warp_lanes))}, row_threads, 0, finish);
  }

  HsicGradTask task_;
  DeviceLayout layout_;
  DeviceRepresentation<Operand> x_, y_;
  KernelGrad<Operand> grad_;
  Value* row_terms_;
  PairDerivative* derivatives_;
};

const char* error_in_hsic_grad(const HsicGradTask& task) {
  const HsicTask& forward = task.forward;
  if (const char* error = error_in_matrix(forward.x, forward.operand)) return error;
  if (const char* error = error_in_matrix(forward.y, forward.operand)) return error;
  if (forward.x.rows != forward.y.rows) return "hsic: x and y differ in rows";
  if (const char* error = too_many_to_prepare(forward.x.rows)) return error;
  if (forward.row_sums == nullptr || forward.bandwidths == nullptr) return "hsic: the forward pass saved nothing";
  return nullptr;
}

}  // namespace

std::size_t hsic_grad_scratch_bytes(const HsicGradTask& task) {
  if (error_in_hsic_grad(task) != nullptr) return 0;
  return visit_operand_without_tf32(task.forward.operand,
                                    [&]<class Operand>() { return HsicGrad<Operand>(task).bytes(); });
}

const char* hsic_grad(const HsicGradTask& task, void* scratch, void* stream) {
  if (const char* error = error_in_hsic_grad(task)) return error;
  return visit_operand_without_tf32(task.forward.operand,
                                    [&]<class Operand>() { return HsicGrad<Operand>(task, scratch).run(stream); });
}

}  // namespace gramless::cuda
