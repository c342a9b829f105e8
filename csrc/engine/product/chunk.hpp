// Chunks: parts of the depth that are multiplied at once.
#pragma once

#include "engine/walk/walk.hpp"

namespace gramless {

// A chunk of the depth: the first overwrites the tile, the last finishes it.
struct Chunk {
  int depth;
  bool first, last;
};

// How many chunks of a tile are multiplied between two checks for an interrupt.
constexpr int polled_chunks = 8;

}  // namespace gramless
