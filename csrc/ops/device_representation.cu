#include "ops/device_representation.cuh"

#include <cmath>

#include "ops/matrix_elements.cuh"
#include "ops/pack_rows.cuh"

namespace gramless::cuda {
namespace {

constexpr int chunk_rows = 1024, sum_columns = 32, sum_threads = 256;

// partial (chunks, cols): sum_i (x_i - x_0) over a chunk of rows.
__global__ void __launch_bounds__(sum_threads) sum_columns_of_chunk(Matrix x, double* partial) {
  double* const shared = shared_memory<double>();
  const int lane = static_cast<int>(threadIdx.x) % sum_columns, part = static_cast<int>(threadIdx.x) / sum_columns;
  const std::int64_t k = std::int64_t{blockIdx.x} * sum_columns + lane, first = std::int64_t{blockIdx.y} * chunk_rows;
  const std::int64_t end = first + chunk_rows < x.rows ? first + chunk_rows : x.rows;
  double sum = 0;
  if (k < x.cols) {
    const double start = element<double>(x, 0, k);
    for (std::int64_t i = first + part; i < end; i += sum_threads / sum_columns)
      sum += element<double>(x, i, k) - start;
  }
  shared[threadIdx.x] = sum;
  __syncthreads();  // the sums of all parts are there
  if (part != 0 || k >= x.cols) return;
  for (int other = 1; other < sum_threads / sum_columns; other++) sum += shared[other * sum_columns + lane];
  partial[std::int64_t{blockIdx.y} * x.cols + k] = sum;
}

// Column means in two parts, so that float32 elements lose nothing when they are centred.
template <class T>
__global__ void finish_means(Matrix x, const double* partial, std::int64_t chunks, T* high, T* low) {
  const std::int64_t k = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (k >= x.cols) return;
  double sum = 0;
  for (std::int64_t chunk = 0; chunk < chunks; chunk++) sum += partial[chunk * x.cols + k];
  const double mean = element<double>(x, 0, k) + sum / static_cast<double>(x.rows);
  high[k] = static_cast<T>(mean);
  low[k] = static_cast<T>(mean - static_cast<double>(high[k]));
}

constexpr int pack_threads = 256;

// One warp per row, of padding too.
template <class Operand>
__global__ void __launch_bounds__(pack_threads)
    pack_centered(Matrix x, const typename Operand::Value* high, const typename Operand::Value* low,
                  DeviceLayer<Operand> layer, std::int64_t padded_rows) {
  using T = typename Operand::Value;
  const int lane = static_cast<int>(threadIdx.x) % warp_lanes;
  const std::int64_t i = (std::int64_t{blockIdx.x} * pack_threads + threadIdx.x) / warp_lanes;
  if (i >= padded_rows) return;
  const auto centered = [&](std::int64_t k) {
    return i < x.rows && k < x.cols ? (element<T>(x, i, k) - high[k]) - low[k] : T(0);
  };
  T scale = 1;
  if constexpr (is_scaled<Operand>) {
    T largest = 0;
#pragma unroll 1
    for (std::int64_t k = lane; k < x.cols; k += warp_lanes) {
      const T value = centered(k), magnitude = value < 0 ? -value : value;
      largest = magnitude > largest ? magnitude : largest;
    }
    scale = split_scale(largest_of_warp(largest));
    if (lane == 0) layer.scales[i] = inverse_of_power(scale);
  }
  const std::int64_t stride = layer.rows.stride();
#pragma unroll 1  // several at a time, registers spill on some architectures
  for (std::int64_t k = lane; k < stride; k += warp_lanes)
    store_packed(layer.rows, i * stride + k, centered(k) * scale);
}

// norms (padded rows): the diagonal of the tiles on the diagonal.
template <class Operand>
__global__ void __launch_bounds__(SquareShape<Operand>::threads) measure_norms(DeviceLayer<Operand> layer) {
  using Shape = SquareShape<Operand>;
  DotTile<Operand, Shape> tile(shared_memory<char>());
  const std::int64_t first = std::int64_t{blockIdx.x} * Shape::rows;
  tile.multiply(layer.rows, first, layer.rows, first);
#pragma unroll
  for (int r = 0; r < tile.own_rows; r++)
#pragma unroll
    for (int c = 0; c < tile.own_cols; c++)
      if (tile.row(r) == tile.col(c)) {
        const std::int64_t i = first + tile.row(r);
        const auto scale = is_scaled<Operand> ? layer.scales[i] : 1;
        layer.norms[i] = layer.unscaled(tile.at(r, c), scale, scale);
      }
}

constexpr int resolve_threads = 256;

// SplitMix64 (Steele, Lea, Flood 2014), its number-th output.
__device__ std::int64_t random_below(std::uint64_t number, std::int64_t bound) {
  std::uint64_t z = 1337 + (number + 1) * 0x9e3779b97f4a7c15u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return static_cast<std::int64_t>((z ^ (z >> 31)) % static_cast<std::uint64_t>(bound));
}

// The mean kernel value of some pairs, value(squared distance).
template <class Operand, class KernelValue>
__device__ double mean_kernel_of_pairs(const DeviceLayer<Operand>& layer, std::int64_t n, KernelValue value,
                                       double* shared) {
  const int lane = static_cast<int>(threadIdx.x) % warp_lanes, warp = static_cast<int>(threadIdx.x) / warp_lanes;
  const std::int64_t half = n / 2, pairs = half < 16 ? 16 : half > 256 ? 256 : half, stride = layer.rows.stride();
  double sums[1] = {0};
  for (std::int64_t p = warp; p < pairs; p += resolve_threads / warp_lanes) {
    const std::int64_t i = random_below(2 * static_cast<std::uint64_t>(p), n);
    const std::int64_t other = random_below(2 * static_cast<std::uint64_t>(p) + 1, n - 1), j = other + (other >= i);
    const double scale_i = is_scaled<Operand> ? layer.scales[i] : 1, scale_j = is_scaled<Operand> ? layer.scales[j] : 1;
    double distance2 = 0;
#pragma unroll 1  // several at a time, registers spill on some architectures
    for (std::int64_t k = lane; k < stride; k += warp_lanes) {
      const double difference =
          packed_value(layer.rows, i * stride + k) * scale_i - packed_value(layer.rows, j * stride + k) * scale_j;
      distance2 += difference * difference;
    }
    distance2 = sum_over_warp(distance2);
    if (lane == 0) sums[0] += value(distance2);
  }
  sum_over_block(sums, shared);
  return sums[0] / static_cast<double>(pairs);
}

// To the type of the tiles, so that what they subtract is what the algebra adds back.
template <class T>
__device__ double rounded(double value) {
  return static_cast<double>(static_cast<T>(value));
}

template <class Operand>
__global__ void __launch_bounds__(resolve_threads)
    resolve_kernel(DeviceLayer<Operand> layer, std::int64_t n, int formula, double sigma2, const double* squared_sigma,
                   double factor, double* bandwidth) {
  using T = typename Operand::Value;
  constexpr bool wide = std::is_same_v<T, double>;
  constexpr double epsilon = wide ? 1.1e-16 : 2.4e-7, sharpest = wide ? 0x1p200 : 0x1p60;
  double* const shared = shared_memory<double>();
  double norms[1] = {0};
  for (std::int64_t i = threadIdx.x; i < n; i += resolve_threads) norms[0] += static_cast<double>(layer.norms[i]);
  sum_over_block(norms, shared);
  const double count = static_cast<double>(n), mean_norm = norms[0] / count;
  if (squared_sigma != nullptr) sigma2 = factor * *squared_sigma;
  bool of_distance = false;
  visit_formula(formula, [&]<class Alternative>(Alternative) { of_distance = Alternative::of_distance; });
  double mean = 0;
  if (of_distance)  // one loop for all kernels: with one for each, registers spill on some architectures
    mean = mean_kernel_of_pairs(
        layer, n,
        [&](double distance2) {
          double value = 0;
          visit_formula(formula, [&]<class Alternative>(Alternative) {
            if constexpr (Alternative::of_distance) value = Alternative::of(sigma2, sharpest).value(distance2);
          });
          return value;
        },
        shared);
  if (threadIdx.x != 0) return;
  visit_formula(formula, [&]<class Alternative>(Alternative alternative) {
    TileKernel<T> kernel{formula, T(0), T(0), T(0), 0, 1, 0};
    if constexpr (Alternative::of_distance) {
      alternative = Alternative::of(sigma2, sharpest);
      // Values near their mean are held as k / mean - 1, which rounds relative to how far they are from it.
      const bool near_mean = mean >= 0.1;
      const double log2_unit = near_mean ? rint(log2(mean) * 0x1p16) * 0x1p-16 : 0.0;  // exact in float32
      kernel.log2_slope = static_cast<T>(alternative.log2_slope());
      kernel.log2_unit = static_cast<T>(log2_unit);
      kernel.shift = near_mean ? T(1) : static_cast<T>(mean);
      kernel.unit = exp2(log2_unit);
    } else {
      kernel.shift = static_cast<T>(-norms[0] / (count * (count - 1)));  // centred rows sum to zero
    }
    kernel.slope_factor = alternative.slope_factor();
    kernel.noise = alternative.noise(epsilon, {mean_norm, mean_norm});
    *layer.kernel = kernel;
    if (bandwidth != nullptr) *bandwidth = Alternative::of_distance ? sigma2 : 0;
  });
}

}  // namespace

template <class Operand>
DeviceRepresentation<Operand>::DeviceRepresentation(const Matrix& x, DeviceLayout& layout) : x_(x) {
  const std::int64_t rows = padded_rows(x.rows);
  layer_.rows.slices = static_cast<int>(blocks_of(x.cols, slice_elements<Operand>));
  layer_.rows.plane_stride = rows * layer_.rows.stride();
  layer_.rows.elements = layout.take<typename Operand::Element>(Operand::planes * layer_.rows.plane_stride);
  layer_.scales = layout.take<Value>(rows);
  layer_.norms = layout.take<Value>(rows);
  layer_.kernel = layout.take<TileKernel<Value>>(1);
  partial_sums_ = layout.take<double>(sum_chunks() * x.cols);
  center_high_ = layout.take<Value>(x.cols);
  center_low_ = layout.take<Value>(x.cols);
}

template <class Operand>
void DeviceRepresentation<Operand>::pack(Queue& queue) const {
  const std::int64_t rows = padded_rows(x_.rows);
  const auto blocks = [](std::int64_t count, std::int64_t size) {
    return static_cast<unsigned>(blocks_of(count, size));
  };
  queue.launch(sum_columns_of_chunk, {blocks(x_.cols, sum_columns), static_cast<unsigned>(sum_chunks())}, sum_threads,
               sum_threads * sizeof(double), x_, partial_sums_);
  queue.launch(finish_means<Value>, {blocks(x_.cols, 256)}, 256, 0, x_, partial_sums_, sum_chunks(), center_high_,
               center_low_);
  queue.launch(pack_centered<Operand>, {blocks(rows, pack_threads / warp_lanes)}, pack_threads, 0, x_, center_high_,
               center_low_, layer_, rows);
  queue.launch(measure_norms<Operand>, {blocks(rows, Shape::rows)}, Shape::threads, DotTile<Operand, Shape>::ring_bytes,
               layer_);
}

template <class Operand>
void DeviceRepresentation<Operand>::resolve(const KernelSpec& kernel, const double* squared_sigma, double* bandwidth,
                                            Queue& queue) const {
  const double sigma = kernel.sigma.value_or(0);
  queue.launch(resolve_kernel<Operand>, {1}, resolve_threads, resolve_threads / warp_lanes * sizeof(double), layer_,
               x_.rows, static_cast<int>(kernel.formula.index()), sigma * sigma,
               kernel.wants_median() ? squared_sigma : nullptr, kernel.scale * kernel.scale, bandwidth);
}

template class DeviceRepresentation<BfloatOperand>;
template class DeviceRepresentation<HalfOperand>;
template class DeviceRepresentation<SplitOperand>;
template class DeviceRepresentation<Tf32Operand>;
template class DeviceRepresentation<DoubleOperand>;

}  // namespace gramless::cuda
