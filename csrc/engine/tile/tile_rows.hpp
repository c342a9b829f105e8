// The number of rows of a tile: the larger it is, the more dot products share one packing of rows.
#pragma once

#include <cstddef>
#include <cstdint>

namespace gramless {

// The tile and a chunk of packed rows then take 900 KB, of which the inner loop holds 30 KB at a time.
constexpr int most_tile_rows(std::size_t element_bytes) { return element_bytes == 4 ? 384 : 192; }

// For the pairs of n rows: fewer rows where whole tiles would be too few to share among threads. It must not depend on
// the number of threads, because every sum depends on it bitwise.
constexpr int tile_rows(std::int64_t n, std::size_t element_bytes) {
  const int most = most_tile_rows(element_bytes);
  return n < std::int64_t{20} * most ? most / 2 : most;
}

}  // namespace gramless
