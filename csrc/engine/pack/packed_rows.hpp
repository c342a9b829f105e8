// The memory that a thread packs rows into.
#pragma once

#include "engine/tile/tile.hpp"

namespace gramless {
inline namespace GRAMLESS_ISA {

// The rows a thread has already packed stay while its next tiles share them.
template <class T>
struct PackedRows {
  T* slivers = nullptr;  // all of the depth if `keeps`, else one chunk
  T* panel = nullptr;    // one chunk of micro_cols rows, packed and used at once
  bool keeps = false;
  std::int64_t held_row = -1;  // first row of the block the slivers hold
  bool far = false;            // the kept rows of all layers exceed the L2 cache
};

}  // namespace GRAMLESS_ISA
}  // namespace gramless
