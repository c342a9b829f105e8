// The primitives of all kernels: thin functions over single instructions, PTX under nvcc (ptx.cuh) and an emulator
// under a host compiler (tests/cuda_emulator/primitives.hpp). No kernel contains an instruction itself.
#pragma once

#include <cstddef>
#include <cstdint>

namespace gramless::cuda {

struct Grid {
  unsigned x = 1, y = 1, z = 1;
};

constexpr std::int64_t most_grid_y = 65535;
constexpr int warp_lanes = 32;
constexpr unsigned all_lanes = 0xffffffffu;

}  // namespace gramless::cuda

#if defined(__CUDACC__)
#include "engine/instructions/ptx.cuh"
#else
#include "cuda_emulator/primitives.hpp"
#endif
