// The words of CUDA C++ that kernels use, for a host compiler. Shared memory is dynamic only: see shared_memory().
#pragma once

#include "cuda_emulator/launch.hpp"

#define __global__
#define __device__
#define __forceinline__ inline
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)
#define __grid_constant__

namespace emulator {

EMULATOR_UNSEEN inline Index thread_index() { return block->running->index; }
EMULATOR_UNSEEN inline Index block_index() { return block->index; }
EMULATOR_UNSEEN inline Extent block_extent() { return block->extent; }
EMULATOR_UNSEEN inline Extent grid_extent() { return block->grid; }
EMULATOR_UNSEEN inline char* shared_bytes() { return block->shared; }

template <class Value>
Value shuffle(const char* operation, unsigned mask, Value value, Site site, auto source) {
  std::uint64_t word = 0;
  std::memcpy(&word, &value, sizeof value);
  warp_operation(operation, mask, &word, 1, site, [&](WarpOperands& lanes) {
    std::uint64_t words[32];
    for (int lane = 0; lane < 32; lane++) {
      const int from = source(lane);
      if ((mask >> lane & 1) && !(mask >> from & 1)) fail("a shuffle reads a lane outside its mask at " + site.text());
      words[lane] = lanes[from][0];
    }
    for (int lane = 0; lane < 32; lane++) lanes[lane][0] = words[lane];
  });
  std::memcpy(&value, &word, sizeof value);
  return value;
}

}  // namespace emulator

#define threadIdx (::emulator::thread_index())
#define blockIdx (::emulator::block_index())
#define blockDim (::emulator::block_extent())
#define gridDim (::emulator::grid_extent())

inline void __syncthreads(emulator::Site site = emulator::here()) { emulator::synchronize_block(site); }

inline void __syncwarp(unsigned mask = ~0u, emulator::Site site = emulator::here()) {
  void* token;
  {
    const emulator::Bookkeeping own;
    token = emulator::block->warp_token(emulator::self().warp);
  }
  emulator::release(token);
  emulator::warp_operation("__syncwarp", mask, nullptr, 0, site,
                           [](auto&) { emulator::block->warps[emulator::self().warp].synchronized++; });
  emulator::acquire(token);
}

template <class Value>
Value __shfl_xor_sync(unsigned mask, Value value, int bits, emulator::Site site = emulator::here()) {
  return emulator::shuffle("shuffle", mask, value, site, [bits](int lane) { return lane ^ bits; });
}

// Integers only: sums of floats would depend on the order of threads.
template <class Integer>
Integer atomicAdd(Integer* address, Integer value) {
  static_assert(std::is_integral_v<Integer>);
  return __atomic_fetch_add(address, value, __ATOMIC_RELAXED);
}
