// The twin of sampling.hpp for CUDA: a pair by its number, so that each warp finds its own.
#pragma once

#include <cstdint>

#include "engine/instructions/primitives.cuh"

namespace gramless::cuda {

// SplitMix64 (Steele, Lea, Flood 2014), its number-th output.
__device__ __forceinline__ std::int64_t random_below(std::uint64_t number, std::int64_t bound) {
  std::uint64_t z = 1337 + (number + 1) * 0x9e3779b97f4a7c15u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return static_cast<std::int64_t>((z ^ (z >> 31)) % static_cast<std::uint64_t>(bound));
}

struct SampledPair {
  std::int64_t i, j;  // i != j
};

__device__ __forceinline__ SampledPair sampled_pair(std::int64_t p, std::int64_t rows) {
  const std::uint64_t number = 2 * static_cast<std::uint64_t>(p);
  const std::int64_t i = random_below(number, rows), other = random_below(number + 1, rows - 1);
  return {i, other + (other >= i)};
}

}  // namespace gramless::cuda
