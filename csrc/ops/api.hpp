// What callers state, for the CPU and for CUDA, and the CUDA operations as plain C++. It knows neither CUDA's headers
// nor Python.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string_view>

#include "epilogues/kernel.hpp"
#include "support/array.hpp"

namespace gramless {

// What rows a kernel function is of.
enum class RowForm : std::uint8_t {
  as_given,
  unit,           // of length 1
  unit_or_zero,   // the same, rows of zeros as they are
  centered_unit,  // the same less their mean
};

// A kernel function as the user states it: `encode` of gramless/kernels.py.
struct KernelSpec {
  Kernel formula = Linear{};                   // which one; its numbers follow from the rest and from the data
  std::optional<double> sigma = std::nullopt;  // none: scale * median distance of the input's rows
  double scale = 1.0;
  bool include_diagonal = false;  // whether the median counts the n zero distances too
  // Exact up to so many rows, beyond that over so many sampled ones; none, and on a device: always exact.
  std::optional<std::int64_t> median_rows = std::nullopt;
  RowForm rows = RowForm::as_given;

  bool has_bandwidth() const { return gramless::has_bandwidth(formula); }
  bool wants_median() const { return has_bandwidth() && !sigma; }
  // The same with a bandwidth; nothing new where there is none.
  KernelSpec with_sigma(double found) const {
    KernelSpec spec = *this;
    if (has_bandwidth()) spec.sigma = found;
    return spec;
  }
};

// The kernel function of that name, or none.
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

// Of HSIC, or of how squared distances between rows agree (reductions/hsic_sums.hpp): of linear kernels, on the CPU.
enum class Estimator : std::uint8_t { biased, unbiased, rsa_pearson, rsa_cosine };

enum class ContrastKind : std::uint8_t {
  softmax,      // negatives and positives in the denominator: NT-Xent, InfoNCE, supervised contrastive
  decoupled,    // negatives only
  log_sum_exp,  // no positives: log sum over all pairs, on the CPU but for those of one group
};

// A student's softmax over a queue beside its teacher's. float16 and bfloat16 are computed in float32.
struct DistillTask {
  Matrix student, teacher;  // (n, d), (n, e); on a device all are of one dtype
  Matrix queue;             // (m, d)
  Matrix teacher_queue;     // (m, e); without memory: the student's, d = e
  double temperature = 0.2, teacher_temperature = 0.01;
  bool normalize = true;
  const double* device_temperature = nullptr;  // (1) or null: as in ContrastTask; of a device alone
};

}  // namespace gramless

// Every pointer in a task is device memory of the current device, `stream` is a cudaStream_t, `scratch` is aligned to
// 256 bytes and at least as large as <op>_scratch_bytes says. Launchers return null, or a sentence about what is wrong.
// They only enqueue: nothing synchronises, allocates or is copied from the host, so streams may be captured in graphs.
// Equal inputs give bitwise-identical results, whatever else runs on the device.
namespace gramless::cuda {

// What the tensor cores multiply. Sums over a tile are float32 (float64: float64), sums over tiles float64.
enum class Operand : std::uint8_t {
  bfloat16,  // rows rounded to bfloat16
  float16,   // rows rounded to float16
  tf32,      // rows rounded to TF32; only for HSIC, only where allowed
  split,     // rows as sums of two float16 numbers, three products: as accurate as float32
  float64,
};

// bfloat16, float16, float64 as they are; float32 is split or, where allowed, rounded to TF32.
Operand default_operand(Dtype dtype, bool allow_tf32);

// Null if this device can run the operations, else why not.
const char* check_device(int device);

// Whether the kernels of compute capability 9.0 run: GRAMLESS_HOPPER is 1, and the current device is such a one.
bool hopper_wanted();

// As the current device has it: how many blocks it runs at a time, what its L2 holds.
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
  std::int64_t busy_blocks = of_device;  // so many keep a GPU busy; of compute capability 9.0 only
};

std::size_t hsic_scratch_bytes(const HsicTask& task);
const char* hsic(const HsicTask& task, void* scratch, void* stream);

// HSIC of all pairs of layers; without layers y, of the layers x with each other. A layer's tiles are computed once, or
// a few times where rows ready for tiles would take more memory than `packed_bytes`.
struct HsicMatrixTask {
  const Matrix* layers = nullptr;  // on the host: (layers_x + layers_y), of one dtype and number of rows
  std::int64_t layers_x = 0, layers_y = 0;
  KernelSpec kernel_x, kernel_y;
  Estimator estimator = Estimator::unbiased;
  Operand operand = Operand::split;
  std::int64_t packed_bytes = std::int64_t{4} << 30;
  std::int64_t stored_bytes = of_device;  // of tiles at a time
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
  HsicTask forward;                 // as it ran, with row_sums and bandwidths; values are not written
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
  bool keys_are_anchors = false;  // whether the losses of keys against the anchors are wanted too: CLIP
  double temperature = 0.5;
  const double* device_temperature = nullptr;  // (1) or null: read instead; losses are NaN where it is 0 or not finite
  bool normalize = true;
  double limit = std::numeric_limits<double>::infinity();  // negatives with a dot product above it are left out
  // That fraction of each anchor's negatives is left out, the most similar first, and whatever is closer to them than
  // `tie` times its largest dot product. Of keys, those of the first part are anchors.
  double hardest = 0, tie = 0;
  // Of scratch at a time: dot products to choose the hardest from (or one block of anchors'), sums of columns.
  std::int64_t stored_bytes = 64 << 20;
  std::int64_t busy_blocks = of_device;  // so many run at a time: few rows are given to several blocks each
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
  const double* scale_of_mean = nullptr;  // (1) or null: the derivative by the mean
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

// The gradient of sum_i weights_i losses_i by the student; `scale_of_mean` as in ContrastBackwardTask.
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
