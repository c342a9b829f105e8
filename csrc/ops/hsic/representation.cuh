// One representation made ready for tiles on the device: the twin of ops/hsic/representation.hpp.
#pragma once

#include <vector>

#include "ops/api.hpp"
#include "ops/dispatch/launch_stream.cuh"
#include "ops/dispatch/layer.cuh"
#include "ops/dispatch/scratch.cuh"

namespace gramless::cuda {

constexpr std::int64_t sum_chunk_rows = 1024;

// The arguments that resolve a layer's kernel: its bandwidth, unit and shift.
template <class Operand>
struct ResolveTask {
  DeviceLayer<Operand> layer;
  int formula;  // number of the alternative of Kernel
  double sigma2;
  const double* squared_sigma;  // (1) or null: read, times factor, in place of sigma2
  double factor;
  double* bandwidth;   // (1) or null: receives the squared bandwidth
  double* distances2;  // (most_sampled_pairs) of some pairs of rows
};
constexpr std::int64_t most_sampled_pairs = 256;

// Resolves many layers with the same number of rows at once.
template <class Operand>
void resolve_layers(const std::vector<ResolveTask<Operand>>& layers, std::int64_t rows, LaunchStream& launches);

template <class Operand>
class DeviceRepresentation {
 public:
  using Value = typename Operand::Value;
  using Shape = SquareShape<Operand>;

  DeviceRepresentation(const Matrix& x, DeviceLayout& layout);

  DeviceLayer<Operand> layer() const { return layer_; }

  void pack(LaunchStream& launches) const;  // centres, rounds, computes norms
  // A bandwidth is read from `squared_sigma` (1) unless the kernel has its own.
  ResolveTask<Operand> resolving(const KernelSpec& kernel, const double* squared_sigma, double* bandwidth) const;

 private:
  std::int64_t sum_chunks() const { return blocks_of(x_.rows, sum_chunk_rows); }

  Matrix x_;
  DeviceLayer<Operand> layer_;
  double* distances2_;    // (most_sampled_pairs)
  double* partial_sums_;  // (chunks, cols)
  Value *center_high_, *center_low_;
};

}  // namespace gramless::cuda
