// One representation made ready for tiles on the device: the twin of ops/hsic/representation.hpp.
#pragma once

#include <vector>

#include "engine/product/dot_tile.cuh"
#include "epilogues/tile_kernels.cuh"
#include "ops/api.hpp"
#include "ops/dispatch/launch_stream.cuh"
#include "ops/dispatch/scratch.cuh"

namespace gramless::cuda {

// Square tiles of rows with rows, two of them in registers at once.
template <class Operand>
using SquareShape =
    std::conditional_t<Operand::atom_rows == 16, TileShape<128, 128, 64, 32>, TileShape<64, 64, 32, 16>>;

constexpr std::int64_t sum_chunk_rows = 1024;

// Tables of a round lie along a grid's second dimension.
template <class Operand>
constexpr std::int64_t most_rows = (2 * most_grid_y - 1) * SquareShape<Operand>::rows;

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

// What a layer's kernel is resolved by: bandwidth, unit and shift.
template <class Operand>
struct ResolveTask {
  DeviceLayer<Operand> layer;
  int formula;  // number of the alternative of Kernel
  double sigma2;
  const double* squared_sigma;  // (1) or null: read, times factor, in place of sigma2
  double factor;
  double* bandwidth;   // (1) or null: gets the squared bandwidth
  double* distances2;  // (most_sampled_pairs) of some pairs of rows
};
constexpr std::int64_t most_sampled_pairs = 256;

// Many layers of so many rows at once.
template <class Operand>
void resolve_layers(const std::vector<ResolveTask<Operand>>& layers, std::int64_t rows, Queue& queue);

template <class Operand>
class DeviceRepresentation {
 public:
  using Value = typename Operand::Value;
  using Shape = SquareShape<Operand>;

  DeviceRepresentation(const Matrix& x, DeviceLayout& layout);

  DeviceLayer<Operand> layer() const { return layer_; }

  void pack(Queue& queue) const;  // centre, round, norms
  // `squared_sigma` (1) is where a bandwidth is read from unless the kernel has its own.
  ResolveTask<Operand> resolving(const KernelSpec& kernel, const double* squared_sigma, double* bandwidth) const;

  static std::int64_t padded_rows(std::int64_t rows) { return blocks_of(rows, Shape::rows) * Shape::rows; }

 private:
  std::int64_t sum_chunks() const { return blocks_of(x_.rows, sum_chunk_rows); }

  Matrix x_;
  DeviceLayer<Operand> layer_;
  double* distances2_;    // (most_sampled_pairs)
  double* partial_sums_;  // (chunks, cols)
  Value *center_high_, *center_low_;
};

}  // namespace gramless::cuda
