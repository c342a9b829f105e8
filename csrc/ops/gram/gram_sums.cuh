// sum_{i<j} of kernel values, their products and their row sums, for two layers on the device.
#pragma once

#include "engine/walk/pair_schedule_cuda.hpp"
#include "ops/api.hpp"
#include "ops/dispatch/launch_stream.cuh"
#include "ops/dispatch/layer.cuh"
#include "ops/dispatch/scratch.cuh"

namespace gramless::cuda {

// The results of one launch of tiles, a slot per round, so that no two tiles write to the same memory.
template <class Operand>
class GramSums {
 public:
  using Value = typename Operand::Value;
  using Shape = SquareShape<Operand>;

  GramSums(std::int64_t rows, std::int64_t busy_blocks, DeviceLayout& layout);

  // products (3): xy, xx, yy; row_sums (2, rows). of_root: whether a kernel is one of the distance itself.
  void run(const DeviceLayer<Operand>& x, const DeviceLayer<Operand>& y, bool of_root, double* products,
           double* row_sums, LaunchStream& launches) const;

 private:
  std::int64_t rounds_per_launch() const;

  std::int64_t rows_, busy_blocks_;
  RoundSchedule rounds_;
  Value* row_partials_;    // (rounds, 2, padded rows)
  double* tile_partials_;  // (rounds, pairs, 3)
};

}  // namespace gramless::cuda
