// Which part of the depth is multiplied.
#pragma once

#include "engine/walk/walk.hpp"

namespace gramless {

// A chunk of the depth: the first overwrites the tile, the last finishes it.
struct Chunk {
  int depth;
  bool first, last;
};

// Chunks of the depth of one tile from one question whether to stop to the next.
constexpr int polled_chunks = 8;

}  // namespace gramless
