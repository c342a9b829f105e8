// Square blocks transposed in registers, by swapping off-diagonal blocks of half, a quarter, ... of the side.
#pragma once

#include <utility>

#include "engine/instructions/simd.hpp"

namespace gramless {
inline namespace GRAMLESS_ISA {

namespace detail {

// Of two rows, lanes without the bit `Half` come from `upper`, lanes with it from `lower`, as after swapping the
// blocks.
template <int Half, bool Lower, class V, int... Lane>
GRAMLESS_INLINE V swap_blocks(V upper, V lower, std::integer_sequence<int, Lane...>) {
  constexpr int side = sizeof...(Lane);
  if constexpr (Lower)
    return __builtin_shufflevector(upper, lower, ((Lane & Half) ? side + Lane : Lane + Half)...);
  else
    return __builtin_shufflevector(upper, lower, ((Lane & Half) ? side + Lane - Half : Lane)...);
}

}  // namespace detail

template <int Half, class V, int Side>
GRAMLESS_INLINE void transpose(V (&rows)[Side]) {
  if constexpr (Half > 0) {
    constexpr auto lane_sequence = std::make_integer_sequence<int, Side>{};
#pragma GCC unroll 16
    for (int i = 0; i < Side; i++) {
      if (i & Half) continue;
      const V upper = rows[i], lower = rows[i + Half];
      rows[i] = detail::swap_blocks<Half, false>(upper, lower, lane_sequence);
      rows[i + Half] = detail::swap_blocks<Half, true>(upper, lower, lane_sequence);
    }
    transpose<Half / 2>(rows);
  }
}

}  // namespace GRAMLESS_ISA
}  // namespace gramless
