// Which part of the depth is multiplied.
#pragma once

namespace gramless {

// A chunk of the depth: the first overwrites the tile, the last finishes it.
struct Chunk {
  int depth;
  bool first, last;
};

}  // namespace gramless
