// Sums down the columns of a tile whose rows two warpgroups share, on compute capability 9.0.
#pragma once

#include "engine/instructions/primitives_hopper.cuh"

namespace gramless::cuda {

// Shared memory for the sums of each warp, which are added up to those of the tile.
struct SharedColumns {
  static constexpr int warps = 8, columns = 128;

  float of_warps[warps][columns];
  Barrier written, added;

  __device__ void initialize() {
    initialize_barrier(written, 2 * warpgroup_threads);
    initialize_barrier(added, warpgroup_threads);
  }
};

// A thread's part of the reduction. Both warpgroups begin and end a tile's sums; the later one adds them.
class ColumnReduce {
 public:
  __device__ explicit ColumnReduce(SharedColumns& shared) : shared_(shared) {}

  // Waits until the sums of the previous tile are no longer needed.
  __device__ void begin() { wait_for_phase(shared_.added, parity_ ^ 1); }
  __device__ void write(int column, float of_warp) { shared_.of_warps[threadIdx.x / warp_lanes][column] = of_warp; }

  // Calls use(column, sum) in the warpgroup that adds the sums of all warps, in their order; the earlier warpgroup does
  // not wait. Other writes since begin() are visible too.
  template <class Use>
  __device__ void end(Use use) {
    static_assert(SharedColumns::columns == warpgroup_threads);
    arrive(shared_.written);
    parity_ ^= 1;
    if (threadIdx.x < warpgroup_threads) return;
    wait_for_phase(shared_.written, parity_ ^ 1);
    const int column = static_cast<int>(threadIdx.x) - warpgroup_threads;
    float sum = 0;
    for (int warp = 0; warp < SharedColumns::warps; warp++) sum += shared_.of_warps[warp][column];
    use(column, sum);
    arrive(shared_.added);
  }

 private:
  SharedColumns& shared_;
  unsigned parity_ = 0;  // of the tile
};

}  // namespace gramless::cuda
