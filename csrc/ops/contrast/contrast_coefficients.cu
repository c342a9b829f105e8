#include "ops/contrast/contrast_coefficients.cuh"

#include <cmath>

#include "engine/instructions/block_sums.cuh"
#include "engine/pack/pack.cuh"
#include "ops/dispatch/matrix_elements.cuh"

namespace gramless::cuda {
namespace {

constexpr int one_block = 512, row_threads = 256;
constexpr double least_norm = 1e-12;
constexpr std::size_t block_bytes = one_block / warp_lanes * sizeof(double);

// A shift of all anchors under which no exponential of a unit row's logit leaves the tiles' normal numbers, nor any sum
// of them; none where the temperature is too small for that.
__device__ LogitScales scales_by(const ScaleTask& task, double row_scale) {
  const double temperature = task.device_temperature != nullptr ? *task.device_temperature : task.temperature;
  const bool usable = temperature != 0 && std::isfinite(temperature);
  const double scale = usable ? 1 / temperature : NAN, largest_logit = scale < 0 ? -scale : scale;
  const double least = largest_logit + task.log_pairs - 0.7 * task.highest, shift = least > 0 ? least : 0;
  if (!task.unit_rows || !(largest_logit + shift <= task.highest)) return {row_scale, scale, 0, true};
  return {row_scale, scale, shift, false};
}

__global__ void __launch_bounds__(one_block) scales_of(ScaleTask task, LogitScales* scales) {
  float largest = task.largest_anchor == nullptr ? 1.0f : 0.0f;  // of unit rows
  if (task.largest_anchor != nullptr) {
    const auto see = [&](float element) { largest = element > largest ? element : largest; };
    for (std::int64_t i = threadIdx.x; i < task.anchors; i += one_block) see(task.largest_anchor[i]);
    for (std::int64_t i = threadIdx.x; i < task.keys; i += one_block) see(task.largest_key[i]);
  }
  largest = largest_of_block(largest, shared_memory<float>());
  if (threadIdx.x == 0) *scales = scales_by(task, task.split ? static_cast<double>(split_scale(largest)) : 1.0);
}

__global__ void losses_of(DeviceAnchorSums sums, std::int64_t rows, AnchorLoss loss, double* losses) {
  const std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i >= rows) return;
  losses[i] = loss.value({sums.shift[i], sums.negative[i], sums.positive[i], sums.positive_logit[i],
                          static_cast<std::int64_t>(sums.count[i])});
}

__global__ void __launch_bounds__(one_block)
    sum_values(const double* values, std::int64_t count, double factor, const LogitScales* scales, double* sum) {
  double sums[1] = {0};
  for (std::int64_t i = threadIdx.x; i < count; i += one_block) sums[0] += values[i];
  sum_over_block(sums, shared_memory<double>());
  if (threadIdx.x == 0) *sum = factor * (scales != nullptr ? scales->logit : 1) * sums[0];
}

__global__ void __launch_bounds__(one_block)
    gradient_scale_of(AnchorWeights anchors, AnchorWeights keys, std::int64_t key_rows, double* scale) {
  float largest = 0;
  const auto see = [&](double weight) {
    const float magnitude = static_cast<float>(weight < 0 ? -weight : weight);
    largest = magnitude > largest ? magnitude : largest;
  };
  for (std::int64_t i = threadIdx.x; i < anchors.rows; i += one_block) see(anchors.of(i));
  for (std::int64_t i = threadIdx.x; i < key_rows; i += one_block) see(keys.of(i));
  largest = largest_of_block(largest, shared_memory<float>());
  // No derivative exceeds twice the weights of its two anchors: below 2^14 it is far from float16's largest number.
  if (threadIdx.x == 0) *scale = 0.25 * static_cast<double>(split_scale(largest));
}

template <class T>
__global__ void coefficients_of(DeviceAnchorSums sums, std::int64_t rows, std::int64_t padded_rows, AnchorLoss loss,
                                AnchorWeights weights, const double* limits, const double* gradient_scale,
                                DeviceCoefficients<T> out) {
  const std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i >= padded_rows) return;
  AnchorCoefficient found;
  const double weight = i < rows ? weights.of(i) * *gradient_scale : 0;
  if (weight != 0)
    found = loss.coefficient({sums.shift[i], sums.negative[i], sums.positive[i], sums.positive_logit[i],
                              static_cast<std::int64_t>(sums.count[i])},
                             weight);
  out.shift[i] = static_cast<T>(found.shift);
  out.negative[i] = static_cast<T>(found.negative);
  out.positive[i] = static_cast<T>(found.positive);
  out.positive_mean[i] = static_cast<T>(found.positive_mean);
  out.positive_offset[i] = static_cast<T>(found.positive_offset);
  out.limit[i] = static_cast<T>(limits != nullptr && i < rows ? limits[i] : INFINITY);
}

// One warp per row.
template <class Operand>
__global__ void __launch_bounds__(row_threads) finish_rows(FinishGradTask<Operand> task) {
  const std::int64_t within = (std::int64_t{blockIdx.x} * row_threads + threadIdx.x) / warp_lanes;
  if (within >= task.count) return;
  const int lane = static_cast<int>(threadIdx.x) % warp_lanes;
  const std::int64_t i = task.first + within, stride = task.rows.stride();
  const LogitScales scales = *task.scales;
  const double unscaled = 1 / (*task.gradient_scale * scales.row);
  const auto dz = [&](std::int64_t k) {
    double sum = 0;
    for (std::int64_t strip = 0; strip < task.strips; strip++)
      sum += static_cast<double>(task.partials[(strip * task.padded_rows + i) * stride + k]);
    return sum * unscaled;
  };
  const auto z = [&](std::int64_t k) {
    return static_cast<double>(packed_value(task.rows, i * stride + k)) / scales.row;
  };
  double alignment = 0;
  for (std::int64_t k = lane; k < task.width; k += warp_lanes) alignment += dz(k) * z(k);
  alignment = sum_over_warp(alignment);
  if (lane == 0) task.alignments[i] = scales.logit * alignment;
  if (task.grad == nullptr) return;
  const double inverse = task.inverse_norms ? task.inverse_norms[i] : 1;
  // Below the least norm, x was divided by a constant.
  const bool tangential = task.inverse_norms && inverse < 1 / least_norm;
  for (std::int64_t k = lane; k < task.width; k += warp_lanes) {
    const double along = tangential ? alignment * z(k) : 0;  // 0 times an infinite z(k) is NaN
    set_element(task.grad, task.dtype, within * task.width + k, (dz(k) - along) * inverse * scales.logit);
  }
}

}  // namespace

void choose_scales(const ScaleTask& task, LogitScales* scales, LaunchStream& launches) {
  launches.launch(scales_of, {1}, one_block, block_bytes, task, scales);
}

void measure_losses(const DeviceAnchorSums& sums, std::int64_t rows, const AnchorLoss& loss, double* losses,
                    LaunchStream& launches) {
  launches.launch(losses_of, {static_cast<unsigned>(blocks_of(rows, 256))}, 256, 0, sums, rows, loss, losses);
}

void mean_of(const double* values, std::int64_t count, double* mean, LaunchStream& launches) {
  const LogitScales* const none = nullptr;
  launches.launch(sum_values, {1}, one_block, block_bytes, values, count, 1 / static_cast<double>(count), none, mean);
}

void grad_of_temperature(const double* alignments, std::int64_t count, double factor, const LogitScales* scales,
                         double* gradient, LaunchStream& launches) {
  launches.launch(sum_values, {1}, one_block, block_bytes, alignments, count, factor, scales, gradient);
}

void choose_gradient_scale(const AnchorWeights& anchors, const AnchorWeights& keys, std::int64_t key_rows,
                           double* scale, LaunchStream& launches) {
  launches.launch(gradient_scale_of, {1}, one_block, block_bytes, anchors, keys, key_rows, scale);
}

template <class T>
void fill_coefficients(const DeviceAnchorSums& sums, std::int64_t rows, std::int64_t padded_rows,
                       const AnchorLoss& loss, const AnchorWeights& weights, const double* limits,
                       const double* gradient_scale, const DeviceCoefficients<T>& coefficients,
                       LaunchStream& launches) {
  launches.launch(coefficients_of<T>, {static_cast<unsigned>(blocks_of(padded_rows, 256))}, 256, 0, sums, rows,
                  padded_rows, loss, weights, limits, gradient_scale, coefficients);
}
template void fill_coefficients(const DeviceAnchorSums&, std::int64_t, std::int64_t, const AnchorLoss&,
                                const AnchorWeights&, const double*, const double*, const DeviceCoefficients<float>&,
                                LaunchStream&);
template void fill_coefficients(const DeviceAnchorSums&, std::int64_t, std::int64_t, const AnchorLoss&,
                                const AnchorWeights&, const double*, const double*, const DeviceCoefficients<double>&,
                                LaunchStream&);

template <class Operand>
void finish_gradients(const FinishGradTask<Operand>& task, LaunchStream& launches) {
  launches.launch(finish_rows<Operand>, {static_cast<unsigned>(blocks_of(task.count, row_threads / warp_lanes))},
                  row_threads, 0, task);
}
template void finish_gradients(const FinishGradTask<BfloatOperand>&, LaunchStream&);
template void finish_gradients(const FinishGradTask<HalfOperand>&, LaunchStream&);
template void finish_gradients(const FinishGradTask<SplitOperand>&, LaunchStream&);
template void finish_gradients(const FinishGradTask<DoubleOperand>&, LaunchStream&);

}  // namespace gramless::cuda
