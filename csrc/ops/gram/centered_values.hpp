// Rows of a layer one by one, centred as in tiles.
#pragma once

#include "engine/pack/pack.hpp"
#include "ops/dispatch/op_table.hpp"

namespace gramless {
inline namespace GRAMLESS_ISA {

// Columns [first, first + count) of a row.
template <class T>
void centered_values(const LayerView& layer, std::int64_t row, std::int64_t first, int count, T* centered) {
  constexpr int most = 256;
  const T *high = static_cast<const T*>(layer.center_high), *low = static_cast<const T*>(layer.center_low);
  const T scale = static_cast<T>(layer.x.scale);
  T copy[1][most];
  const T* values[1];
  for (const std::int64_t end = first + count; first < end; first += most, centered += most) {
    const int length = static_cast<int>(std::min<std::int64_t>(most, end - first));
    detail::read_rows(layer.x, row, 1, first, length, copy, values);
    for (int k = 0; k < length; k++) centered[k] = (load<T>(values[0] + k) * scale - high[first + k]) - low[first + k];
  }
}

}  // namespace GRAMLESS_ISA
}  // namespace gramless
