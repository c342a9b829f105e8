#include "ops/hsic/representation.cuh"

#include <algorithm>
#include <cmath>

#include "engine/pack/pack.cuh"
#include "ops/dispatch/matrix_elements.cuh"
#include "ops/median/sampling.cuh"

namespace gramless::cuda {
namespace {

constexpr int sum_columns = 32, sum_threads = 256;

// partial (chunks, cols): sum_i (x_i - x_0) over a chunk of rows.
__global__ void __launch_bounds__(sum_threads) sum_columns_of_chunk(Matrix x, double* partial) {
  double* const shared = shared_memory<double>();
  const int lane = static_cast<int>(threadIdx.x) % sum_columns, part = static_cast<int>(threadIdx.x) / sum_columns;
  const std::int64_t k = std::int64_t{blockIdx.x} * sum_columns + lane,
                     first = std::int64_t{blockIdx.y} * sum_chunk_rows;
  const std::int64_t end = first + sum_chunk_rows < x.rows ? first + sum_chunk_rows : x.rows;
  double sum = 0;
  if (k < x.cols) {
    const double start = element<double>(x, 0, k);
    for (std::int64_t i = first + part; i < end; i += sum_threads / sum_columns)
      sum += element<double>(x, i, k) - start;
  }
  shared[threadIdx.x] = sum;
  __syncthreads();  // all parts have written their sums
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

// One warp per row, padding included.
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

// norms (padded rows): computed as diagonal entries of tiles.
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

constexpr int resolve_threads = 256, resolve_warps = resolve_threads / warp_lanes;
constexpr std::size_t resolved_at_once = 32;  // descriptions that fit into a launch's parameters

template <class Operand>
struct ResolveTasks {
  ResolveTask<Operand> of[resolved_at_once];
  std::int64_t rows, pairs;
};

__device__ bool is_of_distance(int formula) {
  bool found = false;
  visit_formula(formula, [&]<class Alternative>(Alternative) { found = Alternative::of_distance; });
  return found;
}

// Block (x, y): squared distances of some pairs of rows of layer y, a warp for each.
template <class Operand>
__global__ void __launch_bounds__(resolve_threads) measure_pairs(const __grid_constant__ ResolveTasks<Operand> tasks) {
  const ResolveTask<Operand>& task = tasks.of[blockIdx.y];
  const DeviceLayer<Operand>& layer = task.layer;
  const std::int64_t p = std::int64_t{blockIdx.x} * resolve_warps + threadIdx.x / warp_lanes;
  if (!is_of_distance(task.formula) || p >= tasks.pairs) return;
  const int lane = static_cast<int>(threadIdx.x) % warp_lanes;
  const std::int64_t stride = layer.rows.stride();
  const auto [i, j] = sampled_pair(p, tasks.rows);
  const double scale_i = is_scaled<Operand> ? layer.scales[i] : 1, scale_j = is_scaled<Operand> ? layer.scales[j] : 1;
  double distance2 = 0;
#pragma unroll 1  // several at a time, registers spill on some architectures
  for (std::int64_t k = lane; k < stride; k += warp_lanes) {
    const double difference =
        packed_value(layer.rows, i * stride + k) * scale_i - packed_value(layer.rows, j * stride + k) * scale_j;
    distance2 += difference * difference;
  }
  distance2 = sum_over_warp(distance2);
  if (lane == 0) task.distances2[p] = distance2;
}

// Block x: layer x.
template <class Operand>
__global__ void __launch_bounds__(resolve_threads)
    resolve_kernels(const __grid_constant__ ResolveTasks<Operand> tasks) {
  using T = typename Operand::Value;
  constexpr bool wide = std::is_same_v<T, double>;
  constexpr double epsilon = wide ? 1.1e-16 : 2.4e-7, sharpest = wide ? 0x1p200 : 0x1p60;
  const ResolveTask<Operand>& task = tasks.of[blockIdx.x];
  const DeviceLayer<Operand>& layer = task.layer;
  const double sigma2 = task.squared_sigma != nullptr ? task.factor * *task.squared_sigma : task.sigma2;
  double sums[2] = {};  // of norms; of the kernel values of some pairs
#pragma unroll 1
  for (std::int64_t i = threadIdx.x; i < tasks.rows; i += resolve_threads)
    sums[0] += static_cast<double>(layer.norms[i]);
  const std::int64_t pairs = is_of_distance(task.formula) ? tasks.pairs : 0;
#pragma unroll 1  // one loop for all kernels, a pair at a time: else registers spill on some architectures
  for (std::int64_t p = threadIdx.x; p < pairs; p += resolve_threads) {
    const double distance2 = task.distances2[p];
    double value = 0;
    visit_formula(task.formula, [&]<class Alternative>(Alternative) {
      if constexpr (Alternative::of_distance) value = Alternative::of(sigma2, sharpest).value(distance2);
    });
    sums[1] += value;
  }
  sum_over_block(sums, shared_memory<double>());
  if (threadIdx.x != 0) return;
  const double count = static_cast<double>(tasks.rows), mean_norm = sums[0] / count,
               mean = sums[1] / static_cast<double>(tasks.pairs);
  visit_formula(task.formula, [&]<class Alternative>(Alternative alternative) {
    TileKernel<T> kernel{task.formula, T(0), T(0), T(0), 0, 1, 0};
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
      kernel.shift = static_cast<T>(-sums[0] / (count * (count - 1)));  // centred rows sum to zero
    }
    kernel.slope_factor = alternative.slope_factor();
    kernel.noise = alternative.noise(epsilon, {mean_norm, mean_norm});
    *layer.kernel = kernel;
    if (task.bandwidth != nullptr) *task.bandwidth = Alternative::of_distance ? sigma2 : 0;
  });
}

}  // namespace

template <class Operand>
DeviceRepresentation<Operand>::DeviceRepresentation(const Matrix& x, DeviceLayout& layout) : x_(x) {
  const std::int64_t rows = DeviceLayer<Operand>::padded_rows(x.rows);
  layer_.rows.slices = static_cast<int>(blocks_of(x.cols, slice_elements<Operand>));
  layer_.rows.plane_stride = rows * layer_.rows.stride();
  layer_.rows.elements = layout.take<typename Operand::Element>(Operand::planes * layer_.rows.plane_stride);
  layer_.scales = layout.take<Value>(rows);
  layer_.norms = layout.take<Value>(rows);
  layer_.kernel = layout.take<TileKernel<Value>>(1);
  distances2_ = layout.take<double>(most_sampled_pairs);
  partial_sums_ = layout.take<double>(sum_chunks() * x.cols);
  center_high_ = layout.take<Value>(x.cols);
  center_low_ = layout.take<Value>(x.cols);
}

template <class Operand>
void DeviceRepresentation<Operand>::pack(LaunchStream& launches) const {
  const std::int64_t rows = DeviceLayer<Operand>::padded_rows(x_.rows);
  const auto blocks = [](std::int64_t count, std::int64_t size) {
    return static_cast<unsigned>(blocks_of(count, size));
  };
  launches.launch(sum_columns_of_chunk, {blocks(x_.cols, sum_columns), static_cast<unsigned>(sum_chunks())},
                  sum_threads, sum_threads * sizeof(double), x_, partial_sums_);
  launches.launch(finish_means<Value>, {blocks(x_.cols, 256)}, 256, 0, x_, partial_sums_, sum_chunks(), center_high_,
                  center_low_);
  launches.launch(pack_centered<Operand>, {blocks(rows, pack_threads / warp_lanes)}, pack_threads, 0, x_, center_high_,
                  center_low_, layer_, rows);
  launches.launch(measure_norms<Operand>, {blocks(rows, Shape::rows)}, Shape::threads,
                  DotTile<Operand, Shape>::ring_bytes, layer_);
}

template <class Operand>
ResolveTask<Operand> DeviceRepresentation<Operand>::resolving(const KernelSpec& kernel, const double* squared_sigma,
                                                              double* bandwidth) const {
  const double sigma = kernel.sigma.value_or(0);
  return {layer_,
          static_cast<int>(kernel.formula.index()),
          sigma * sigma,
          kernel.wants_median() ? squared_sigma : nullptr,
          kernel.scale * kernel.scale,
          bandwidth,
          distances2_};
}

template <class Operand>
void resolve_layers(const std::vector<ResolveTask<Operand>>& layers, std::int64_t rows, LaunchStream& launches) {
  const std::int64_t half = rows / 2;
  ResolveTasks<Operand> tasks;
  tasks.rows = rows;
  tasks.pairs = half < 16 ? 16 : half > most_sampled_pairs ? most_sampled_pairs : half;
  const auto blocks = static_cast<unsigned>(blocks_of(tasks.pairs, resolve_warps));
  for (std::size_t first = 0; first < layers.size(); first += resolved_at_once) {
    const std::size_t count = layers.size() - first < resolved_at_once ? layers.size() - first : resolved_at_once;
    std::copy_n(layers.begin() + static_cast<std::ptrdiff_t>(first), count, tasks.of);
    const auto layers_of_launch = static_cast<unsigned>(count);
    launches.launch(measure_pairs<Operand>, {blocks, layers_of_launch}, resolve_threads, 0, tasks);
    launches.launch(resolve_kernels<Operand>, {layers_of_launch}, resolve_threads, 2 * resolve_warps * sizeof(double),
                    tasks);
  }
}

template class DeviceRepresentation<BfloatOperand>;
template class DeviceRepresentation<HalfOperand>;
template class DeviceRepresentation<SplitOperand>;
template class DeviceRepresentation<Tf32Operand>;
template class DeviceRepresentation<DoubleOperand>;
template void resolve_layers(const std::vector<ResolveTask<BfloatOperand>>&, std::int64_t, LaunchStream&);
template void resolve_layers(const std::vector<ResolveTask<HalfOperand>>&, std::int64_t, LaunchStream&);
template void resolve_layers(const std::vector<ResolveTask<SplitOperand>>&, std::int64_t, LaunchStream&);
template void resolve_layers(const std::vector<ResolveTask<Tf32Operand>>&, std::int64_t, LaunchStream&);
template void resolve_layers(const std::vector<ResolveTask<DoubleOperand>>&, std::int64_t, LaunchStream&);

}  // namespace gramless::cuda
