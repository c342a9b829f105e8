// Primitives that only compute capability 9.0 has: copies of whole boxes, products of a warpgroup with both factors in
// shared memory, and barriers that count bytes. PTX under nvcc (ptx_hopper.cuh), else an emulator
// (tests/cuda_emulator/primitives_hopper.hpp).
#pragma once

#include "engine/instructions/primitives.cuh"

namespace gramless::cuda {

// A barrier of shared memory. A phase ends when all have arrived and all bytes have landed; wait_for_phase(parity)
// returns once a phase of that parity has ended. On a new barrier it returns at once for parity 1.
using Barrier = std::uint64_t;

constexpr int warpgroup_threads = 128;

// A box has rows of 64 16-bit numbers, 128 bytes, the width of one swizzle. The swizzle permutes its 16-byte pieces
// within groups of eight rows.
constexpr int box_width = 64, box_row_bytes = 128;

}  // namespace gramless::cuda

#if defined(__CUDACC__)
#include "engine/instructions/ptx_hopper.cuh"
#else
#include "cuda_emulator/primitives_hopper.hpp"
#endif

namespace gramless::cuda {

// One arrival for all threads of a warp.
__device__ __forceinline__ void arrive_by_warp(Barrier& barrier) {
  if (threadIdx.x % warp_lanes == 0) arrive(barrier);
}

}  // namespace gramless::cuda
