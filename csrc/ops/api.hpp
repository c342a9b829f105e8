// The arguments of callers, for the CPU and for CUDA, and the CUDA operations as plain C++. It knows neither CUDA's
// headers nor Python.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string_view>

#include "epilogues/kernel.hpp"
#include "support/array.hpp"

namespace gramless {

// The form of the rows that a kernel function is evaluated on.
enum class RowForm : std::uint8_t {
  as_given,
  unit,           // of length 1
  unit_or_zero,   // the same, but rows of zeros stay zero
  centered_unit,  // of length 1 after subtracting each row's mean
};

// A kernel function as the user states it: `encode` of gramless/kernels.py.
struct KernelSpec {
  Kernel formula = Linear{};                   // its parameters follow from the other members and from the data
  std::optional<double> sigma = std::nullopt;  // none: scale * median distance of the input's rows
  double scale = 1.0;
  bool include_diagonal = false;  // whether the median counts the n zero distances too
  // The median is exact up to this many rows, beyond that over this many sampled rows. Always exact without a value,
  // and on a device.
  std::optional<std::int64_t> median_rows = std::nullopt;
  RowForm rows = RowForm::as_given;

  bool has_bandwidth() const { return gramless::has_bandwidth(formula); }
  bool wants_median() const { return has_bandwidth() && !sigma; }
  // The same with sigma given; unchanged for kernel functions without a bandwidth.
  KernelSpec with_sigma(double found) const {
    KernelSpec spec = *this;
    if (has_bandwidth()) spec.sigma = found;
    return spec;
  }
};

// The kernel function of that name, or nullopt.
template <std::size_t Number = 0>
std::optional<Kernel> kernel_named(std::string_view name) {
  if constexpr (Number < std::variant_size_v<Kernel>) {
    using Alternative = std::variant_alternative_t<Number, Kernel>;
    if (name == Alternative::name) return Alternative{};
    return kernel_named<Number + 1>(name);
  } else {
    return std::nullopt;
  }
}

// Estimators of HSIC, and rsa: how squared distances between rows agree (reductions/hsic_sums.hpp), for linear kernels
// on the CPU.
enum class Estimator : std::uint8_t { biased, unbiased, rsa_pearson, rsa_cosine };

enum class ContrastKind : std::uint8_t {
  softmax,      // negatives and positives in the denominator: NT-Xent, InfoNCE, supervised contrastive
  decoupled,    // negatives only
  log_sum_exp,  // no positives: log sum over all pairs, on the CPU without pairs of one group
};

// Similarity distillation: a student's softmax over a queue, and its teacher's. float16 and bfloat16 are computed in
// float32.
struct DistillTask {
  Matrix student, teacher;  // (n, d), (n, e); on a device all are of one dtype
  Matrix queue;             // (m, d)
  Matrix teacher_queue;     // (m, e); null data: the student's queue, then d = e
  double temperature = 0.2, teacher_temperature = 0.01;
  bool normalize = true;
  const double* device_temperature = nullptr;  // (1) or null: as in ContrastTask; of a device alone
};

}  // namespace gramless

// Every pointer in a task is device memory of the current device, `stream` is a cudaStream_t, `scratch` is aligned to
// 256 bytes and at least as large as <op>_scratch_bytes says. Launchers return null, or an error message. They only
// enqueue: nothing synchronises, allocates or is copied from the host, so streams may be captured in graphs. Equal
// inputs give bitwise-identical results, whatever else runs on the device.
namespace gramless::cuda {

// The operands of the tensor cores. Sums over a tile are float32 (float64: float64), sums over tiles float64.
enum class Operand : std::uint8_t {
  bfloat16,  // rows rounded to bfloat16
  float16,   // rows rounded to float16
  tf32,      // rows rounded to TF32; only for HSIC, only if allowed
  split,     // rows as sums of two float16 numbers, three products: as accurate as float32
  float64,
};

// The operand of a dtype: bfloat16, float16 and float64 unchanged; float32 is split or, if allowed, rounded to TF32.
Operand default_operand(Dtype dtype, bool allow_tf32);

// Null if this device can run the operations, otherwise an error message.
const char* check_device(int device);

// Whether the kernels of compute capability 9.0 are used: GRAMLESS_HOPPER is 1, and the current device has that
// capability.
bool hopper_wanted();

// Use the current device's number: of blocks that it runs at a time, of bytes in its L2.
constexpr std::int64_t of_device = -1;

struct HsicTask {
  Matrix x, y;  // (n, p), (n, q) of one dtype: float32, float64, float16 or bfloat16, as all matrices here
  KernelSpec kernel_x, kernel_y;
  Estimator estimator = Estimator::unbiased;
  Operand operand = Operand::split;
  double* values = nullptr;      // (3): HSIC of x with y, x with x, y with y; 0 where it is no more than rounding
  double* row_sums = nullptr;    // (2, n) for the backward, or null
  double* bandwidths = nullptr;  // (2) sigma^2 of x and y (0: none) for the backward, or null
  double* spreads = nullptr;     // (2) of x and y: mean k_ii - mean k_ij over i != j; or null
  std::int64_t busy_blocks = of_device;  // blocks that keep the GPU busy; for compute capability 9.0 only
};

std::size_t hsic_scratch_bytes(const HsicTask& task);
const char* hsic(const HsicTask& task, void* scratch, void* stream);

// HSIC of all pairs of layers; without layers y, of the layers x with each other. A layer's tiles are computed once, or
// a few times if the packed rows would take more memory than `packed_bytes`.
struct HsicMatrixTask {
  const Matrix* layers = nullptr;  // on the host: (layers_x + layers_y), of one dtype and number of rows
  std::int64_t layers_x = 0, layers_y = 0;
  KernelSpec kernel_x, kernel_y;
  Estimator estimator = Estimator::unbiased;
  Operand operand = Operand::split;
  std::int64_t packed_bytes = std::int64_t{4} << 30;
  std::int64_t stored_bytes = of_device;  // of tiles stored at a time
  double* values = nullptr;               // (layers_x, layers_y), or (layers_x, layers_x)
  double* own_values = nullptr;           // (layers) with themselves; 0 where it is no more than rounding
  double* row_sums = nullptr;             // (layers, n) for the backward, or null
  double* bandwidths = nullptr;           // (layers) sigma^2 (0: none) for the backward, or null
};

std::size_t hsic_matrix_scratch_bytes(const HsicMatrixTask& task);
const char* hsic_matrix(const HsicMatrixTask& task, void* scratch, void* stream);

// sigma^2 = the median squared distance between rows, exact.
struct MedianTask {
  Matrix x;
  bool include_diagonal = false;
  Operand operand = Operand::split;
  double* median = nullptr;  // (1)
};

std::size_t median_scratch_bytes(const MedianTask& task);
const char* median_squared_distance(const MedianTask& task, void* scratch, void* stream);

// Gradients of w_xy hsic(x, y) + w_xx hsic(x, x) + w_yy hsic(y, y); bandwidths are constants.
struct HsicGradTask {
  HsicTask forward;                 // the task of the forward, with row_sums and bandwidths; values are not written
  const double* weights = nullptr;  // (3)
  void* grad_x = nullptr;           // (n, p) contiguous, of x's dtype, or null
  void* grad_y = nullptr;
};

std::size_t hsic_grad_scratch_bytes(const HsicGradTask& task);
const char* hsic_grad(const HsicGradTask& task, void* scratch, void* stream);

// The rows of one side: those of its parts, one after the other. A pair of rows of one group is positive; a negative
// group has no partner. Without groups a row's group is its number within its part (NT-Xent's views, CLIP's pairs).
struct ContrastSide {
  Matrix parts[2];  // of one dtype and width
  int part_count = 0;
  const std::int32_t* groups = nullptr;  // (rows)
};

struct ContrastTask {
  ContrastSide anchors, keys;     // without keys, anchors are paired with each other
  bool keys_are_anchors = false;  // whether the losses of keys against the anchors are computed too: CLIP
  double temperature = 0.5;
  const double* device_temperature = nullptr;  // (1) or null: read instead; losses are NaN where it is 0 or not finite
  bool normalize = true;
  double limit = std::numeric_limits<double>::infinity();  // negatives with a dot product above it are left out
  // This fraction of each anchor's negatives is left out, the most similar first, together with those closer to them
  // than `tie` times the anchor's largest dot product. Of the keys, those of the first part are anchors.
  double hardest = 0, tie = 0;
  // Bytes of scratch at a time for the dot products that the hardest are chosen from (at least one block of anchors),
  // and for sums of columns.
  std::int64_t stored_bytes = 64 << 20;
  std::int64_t busy_blocks = of_device;  // blocks that run at a time: with few rows several blocks share them
  ContrastKind kind = ContrastKind::softmax;
  Operand operand = Operand::split;  // not tf32
};

// What the backward needs: 6 arrays with an entry per anchor, then per key. Contiguous, (6, anchors + keys).
constexpr std::int64_t contrast_saved_arrays = 6;

struct ContrastForwardTask {
  ContrastTask problem;
  double* losses = nullptr;  // (anchors), or (anchors + keys) where keys are anchors too
  double* saved = nullptr;   // (6, anchors + keys)
  double* mean = nullptr;    // (1) of the anchors' losses, or null
};

std::size_t contrast_forward_scratch_bytes(const ContrastForwardTask& task);
const char* contrast_forward(const ContrastForwardTask& task, void* scratch, void* stream);

// Gradients of sum_i weights_i losses_i. With `scale_of_mean` the weights of the anchors are its value / anchors, those
// of the keys 0, and `weights` is not read.
struct ContrastBackwardTask {
  ContrastTask problem;
  const double* saved = nullptr;          // (6, anchors + keys), of the forward
  const double* weights = nullptr;        // as the losses
  const double* scale_of_mean = nullptr;  // (1) or null: the derivative with respect to the mean
  void* grads[4] = {};  // (rows, width) contiguous, of the inputs' dtype: anchors' parts, keys' parts; or null
  double* grad_temperature = nullptr;  // (1) or null
};

std::size_t contrast_backward_scratch_bytes(const ContrastBackwardTask& task);
const char* contrast_backward(const ContrastBackwardTask& task, void* scratch, void* stream);

// What the backward needs: 4 arrays with an entry per row. Contiguous, (4, n).
constexpr std::int64_t distill_saved_arrays = 4;

struct DistillForwardTask {
  DistillTask problem;
  double* losses = nullptr;  // (n)
  double* saved = nullptr;   // (4, n)
  double* mean = nullptr;    // (1) of the losses, or null
};

std::size_t distill_forward_scratch_bytes(const DistillForwardTask& task);
const char* distill_forward(const DistillForwardTask& task, void* scratch, void* stream);

// The gradient of sum_i weights_i losses_i with respect to the student; `scale_of_mean` as in ContrastBackwardTask.
struct DistillBackwardTask {
  DistillTask problem;
  const double* saved = nullptr;  // (4, n), of the forward
  const double* weights = nullptr;
  const double* scale_of_mean = nullptr;
  void* grad = nullptr;                // (n, d) contiguous, of the student's dtype, or null
  double* grad_temperature = nullptr;  // (1) or null
};

std::size_t distill_backward_scratch_bytes(const DistillBackwardTask& task);
const char* distill_backward(const DistillBackwardTask& task, void* scratch, void* stream);

}  // namespace gramless::cuda
