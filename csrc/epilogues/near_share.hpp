// When the distance of two rows is not computed from their dot product: on CPUs and on CUDA.
#pragma once

#include <cstdint>

namespace gramless {

// |a - b|^2 is near 0 below this share of |a|^2 + |b|^2: 2^14 times the rounding of float32. Above it, the relative
// rounding error of |a - b| is at most 2^-15 in float32.
template <class T>
constexpr T near_share = T(0x1p-10);

// On CPUs: with few columns many pairs are near enough to lose digits, and subtracting their rows is cheap. A single
// near pair may dominate the HSIC of a narrow kernel.
template <class T>
constexpr T near_share_of(std::int64_t columns) {
  return sizeof(T) == 4 && columns <= 16 ? T(0x1p-3) : near_share<T>;
}

}  // namespace gramless
