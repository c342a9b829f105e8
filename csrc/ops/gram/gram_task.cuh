// Common to the kernels for the tiles of a pair of layers: their arguments, and the products of two tiles.
#pragma once

#include "engine/walk/pair_schedule_cuda.hpp"
#include "ops/gram/gram_tile.cuh"

namespace gramless::cuda {

template <class Operand>
struct GramTask {
  DeviceLayer<Operand> x, y;
  RoundSchedule rounds;
  std::int64_t first_round, n, padded_rows;
  typename Operand::Value* row_partials;  // (rounds, 2, padded rows)
  double* tile_partials;                  // (rounds, pairs, 3)
};

// Sums of products xy, xx, yy of kernel values.
template <class Value>
struct PairProducts {
  Value sums[3] = {0, 0, 0};

  __device__ __forceinline__ void add(Value k, Value l) {
    sums[0] += k * l;
    sums[1] += k * k;
    sums[2] += l * l;
  }
  // A tile on the diagonal has every pair twice.
  __device__ __forceinline__ double once(int product, bool diagonal) const {
    return (diagonal ? 0.5 : 1) * static_cast<double>(sums[product]);
  }
};

}  // namespace gramless::cuda
