#include "ops/contrast/contrast_rows.cuh"

#include <cmath>

#include "engine/pack/pack.cuh"
#include "ops/dispatch/matrix_elements.cuh"

namespace gramless::cuda {
namespace {

constexpr int row_threads = 256, rows_at_once = row_threads / warp_lanes;
constexpr double least_norm = 1e-12;

// Row i of a side.
struct RowOf {
  Matrix part;
  std::int64_t row;
};
__device__ RowOf row_of(const ContrastSide& side, std::int64_t i) {
  const std::int64_t first = side.parts[0].rows;
  return i < first ? RowOf{side.parts[0], i} : RowOf{side.parts[1], i - first};
}

__device__ std::int64_t global_warp_index() {
  return (std::int64_t{blockIdx.x} * row_threads + threadIdx.x) / warp_lanes;
}

// largest (rows): the element of each row that is largest in magnitude.
__global__ void __launch_bounds__(row_threads)
    find_largest_elements(ContrastSide side, std::int64_t rows, float* largest) {
  const std::int64_t i = global_warp_index();
  if (i >= rows) return;
  const int lane = static_cast<int>(threadIdx.x) % warp_lanes;
  const RowOf row = row_of(side, i);
  float found = 0;
  for (std::int64_t k = lane; k < row.part.cols; k += warp_lanes) {
    const float value = element<float>(row.part, row.row, k), magnitude = value < 0 ? -value : value;
    found = magnitude > found ? magnitude : found;
  }
  found = largest_of_warp(found);
  if (lane == 0) largest[i] = found;
}

// One warp per row, padding included.
template <class Operand>
__global__ void __launch_bounds__(row_threads)
    pack_unit_rows(ContrastSide side, SideRows<Operand> packed, std::int64_t padded_rows, bool normalize,
                   const double* scale, double* inverse_norms) {
  using T = typename Operand::Value;
  const std::int64_t i = global_warp_index(), stride = packed.rows.stride();
  if (i >= padded_rows) return;
  const int lane = static_cast<int>(threadIdx.x) % warp_lanes;
  if (i >= packed.count) {
    for (std::int64_t k = lane; k < stride; k += warp_lanes) store_packed(packed.rows, i * stride + k, T(0));
    return;
  }
  const RowOf row = row_of(side, i);
  const std::int64_t width = row.part.cols;
  double length = 1;
  if (normalize) {
    double norm2 = 0;
    for (std::int64_t k = lane; k < width; k += warp_lanes) {
      const double value = element<double>(row.part, row.row, k);
      norm2 += value * value;
    }
    const double norm = sqrt(sum_over_warp(norm2));
    length = norm < least_norm ? least_norm : norm;
  }
  if (lane == 0) inverse_norms[i] = 1 / length;
  const double factor = *scale;
#pragma unroll 1  // unrolled, it spills registers around its divisions
  for (std::int64_t k = lane; k < stride; k += warp_lanes) {
    const double value = k < width ? element<double>(row.part, row.row, k) / length : 0;  // +-1 for one column
    store_packed(packed.rows, i * stride + k, static_cast<T>(value * factor));
  }
}

// A thread fills the groups of one block of rows and finds their range.
template <class Operand>
__global__ void fill_groups(ContrastSide side, SideRows<Operand> packed, std::int64_t blocks, bool positives) {
  constexpr int size = WarpRowsShape<Operand>::cols;
  const std::int64_t block = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (block >= blocks) return;
  GroupRange range{INT32_MAX, -1};
  for (std::int64_t i = block * size; i < (block + 1) * size; i++) {
    std::int32_t group = -1;
    if (positives && i < packed.count)
      group = side.groups ? side.groups[i] : static_cast<std::int32_t>(row_of(side, i).row);
    packed.groups[i] = group;
    if (group < 0) continue;
    range.lowest = group < range.lowest ? group : range.lowest;
    range.highest = group > range.highest ? group : range.highest;
  }
  packed.ranges[block] = range;
}

}  // namespace

template <class Operand>
DeviceContrastRows<Operand>::DeviceContrastRows(const ContrastSide& side, bool positives, DeviceLayout& layout)
    : side_(side), positives_(positives) {
  rows_.count = rows_of(side);
  const std::int64_t rows = padded(rows_.count);
  rows_.rows.slices = static_cast<int>(blocks_of(side.parts[0].cols, slice_elements<Operand>));
  rows_.rows.plane_stride = rows * rows_.rows.stride();
  rows_.rows.elements = layout.take<typename Operand::Element>(Operand::planes * rows_.rows.plane_stride);
  rows_.groups = layout.take<std::int32_t>(rows);
  rows_.ranges = layout.take<GroupRange>(rows / Shape::cols);
  inverse_norms_ = layout.take<double>(rows_.count);
  largest_ = layout.take<float>(rows_.count);
}

template <class Operand>
void DeviceContrastRows<Operand>::find_largest(LaunchStream& launches) const {
  launches.launch(find_largest_elements, {static_cast<unsigned>(blocks_of(rows_.count, rows_at_once))}, row_threads, 0,
                  side_, rows_.count, largest_);
}

template <class Operand>
void DeviceContrastRows<Operand>::pack(bool normalize, const double* scale, LaunchStream& launches) const {
  const std::int64_t rows = padded(rows_.count), blocks = rows / Shape::cols;
  launches.launch(pack_unit_rows<Operand>, {static_cast<unsigned>(blocks_of(rows, rows_at_once))}, row_threads, 0,
                  side_, rows_, rows, normalize, scale, inverse_norms_);
  launches.launch(fill_groups<Operand>, {static_cast<unsigned>(blocks_of(blocks, 32))}, 32, 0, side_, rows_, blocks,
                  positives_);
}

template class DeviceContrastRows<BfloatOperand>;
template class DeviceContrastRows<HalfOperand>;
template class DeviceContrastRows<SplitOperand>;
template class DeviceContrastRows<DoubleOperand>;

}  // namespace gramless::cuda
