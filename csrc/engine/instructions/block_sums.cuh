// Sums and largest values over the threads of a block or the lanes of a warp, in an order that only the block's size
// decides.
#pragma once

#include "engine/instructions/primitives.cuh"

namespace gramless::cuda {

template <class T>
__device__ __forceinline__ T sum_over_warp(T value) {
#pragma unroll
  for (int bits = warp_lanes / 2; bits > 0; bits /= 2) value += __shfl_xor_sync(all_lanes, value, bits);
  return value;
}

template <class T>
__device__ __forceinline__ T largest_of_warp(T value) {
#pragma unroll
  for (int bits = warp_lanes / 2; bits > 0; bits /= 2) {
    const T other = __shfl_xor_sync(all_lanes, value, bits);
    value = other > value ? other : value;
  }
  return value;
}

// Replaces each of `sums`, in every thread, by its sum over the block. `shared` holds Count numbers per warp; every
// thread of the block must call this.
template <int Count>
__device__ void sum_over_block(double (&sums)[Count], double* shared) {
  const int lane = static_cast<int>(threadIdx.x) % warp_lanes, warp = static_cast<int>(threadIdx.x) / warp_lanes,
            warps = static_cast<int>(blockDim.x) / warp_lanes;
#pragma unroll
  for (int i = 0; i < Count; i++) {
    const double of_warp = sum_over_warp(sums[i]);
    if (lane == 0) shared[i * warps + warp] = of_warp;
  }
  __syncthreads();  // all warps have written their sums
#pragma unroll
  for (int i = 0; i < Count; i++) {
    sums[i] = 0;
    for (int w = 0; w < warps; w++) sums[i] += shared[i * warps + w];
  }
  __syncthreads();  // and have been read: `shared` may be used again
}

// Returns the largest of all threads' values to every thread. `shared` holds a number per warp; every thread of the
// block must call this.
template <class T>
__device__ T largest_of_block(T value, T* shared) {
  const int warps = static_cast<int>(blockDim.x) / warp_lanes;
  const T of_warp = largest_of_warp(value);
  if (threadIdx.x % warp_lanes == 0) shared[threadIdx.x / warp_lanes] = of_warp;
  __syncthreads();  // all warps have written their largest
  for (int w = 0; w < warps; w++) value = shared[w] > value ? shared[w] : value;
  __syncthreads();  // and have been read: `shared` may be used again
  return value;
}

}  // namespace gramless::cuda
