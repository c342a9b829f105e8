// Rows cut into the blocks that tiles pair: at most as many rows as a tile has, all of one fold.
#pragma once

#include <algorithm>
#include <numeric>
#include <span>
#include <vector>

#include "engine/tile/tile_rows.hpp"
#include "ops/dispatch/op_table.hpp"

namespace gramless {

// sizes: how many rows each fold has, one after the other.
inline std::vector<FoldBlock> fold_blocks(std::span<const std::int64_t> sizes, Compute compute) {
  const std::int64_t n = std::accumulate(sizes.begin(), sizes.end(), std::int64_t{0});
  const std::int64_t most = tile_rows(n, element_bytes(compute));
  std::vector<FoldBlock> blocks;
  std::int64_t first = 0;
  for (std::size_t fold = 0; fold < sizes.size(); fold++)
    for (const std::int64_t end = first + sizes[fold]; first < end; first += blocks.back().rows)
      blocks.push_back({first, static_cast<int>(std::min(most, end - first)), static_cast<std::int64_t>(fold)});
  return blocks;
}

}  // namespace gramless
