// One representation made ready for tiles on the device: the twin of ops/representation.hpp.
#pragma once

#include "engine/dot_tile.cuh"
#include "epilogues/tile_kernels.cuh"
#include "ops/cuda_ops.hpp"
#include "ops/device_layout.hpp"
#include "ops/queue.cuh"

namespace gramless::cuda {

// Square tiles of rows with rows, two of them in registers at once.
template <class Operand>
using SquareShape =
    std::conditional_t<Operand::atom_rows == 16, TileShape<128, 128, 64, 32>, TileShape<64, 64, 32, 16>>;

template <class Operand>
struct DeviceLayer {
  using Value = typename Operand::Value;

  PackedRows<Operand> rows;             // centred
  Value* scales = nullptr;              // (padded rows) what a packed row is to be multiplied by; only where split
  Value* norms = nullptr;               // (padded rows) |x_i - mean|^2, rounded as tiles round it
  TileKernel<Value>* kernel = nullptr;  // (1)

  // A dot product of packed rows as that of the rows themselves. Powers of two: exact.
  __device__ __forceinline__ static Value unscaled(Value dot, Value row_scale, Value column_scale) {
    return is_scaled<Operand> ? dot * row_scale * column_scale : dot;
  }
};

template <class Operand>
class DeviceRepresentation {
 public:
  using Value = typename Operand::Value;
  using Shape = SquareShape<Operand>;

  DeviceRepresentation(const Matrix& x, DeviceLayout& layout);

  DeviceLayer<Operand> layer() const { return layer_; }

  void pack(Queue& queue) const;  // centre, round, norms
  // Bandwidth, unit and shift. `squared_sigma` (1) is where a bandwidth is read from unless the kernel has its own;
  // `bandwidth` (1), where not null, gets the squared bandwidth.
  void resolve(const KernelSpec& kernel, const double* squared_sigma, double* bandwidth, Queue& queue) const;

  static std::int64_t padded_rows(std::int64_t rows) { return blocks_of(rows, Shape::rows) * Shape::rows; }

 private:
  std::int64_t sum_chunks() const { return blocks_of(x_.rows, 1024); }

  Matrix x_;
  DeviceLayer<Operand> layer_;
  double* partial_sums_;  // (chunks, cols)
  Value *center_high_, *center_low_;
};

}  // namespace gramless::cuda
