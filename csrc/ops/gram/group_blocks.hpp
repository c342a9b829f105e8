// Rows cut into what tiles pair: as many as a tile has, and none of two groups.
#pragma once

#include <algorithm>
#include <numeric>
#include <span>
#include <vector>

#include "engine/tile/tile_rows.hpp"
#include "ops/dispatch/op_table.hpp"

namespace gramless {

// sizes: how many rows each group has, one after the other.
inline std::vector<GroupBlock> group_blocks(std::span<const std::int64_t> sizes, Compute compute) {
  const std::int64_t n = std::accumulate(sizes.begin(), sizes.end(), std::int64_t{0});
  const std::int64_t most = tile_rows(n, element_bytes(compute));
  std::vector<GroupBlock> blocks;
  std::int64_t first = 0;
  for (std::size_t group = 0; group < sizes.size(); group++)
    for (const std::int64_t end = first + sizes[group]; first < end; first += blocks.back().rows)
      blocks.push_back({first, static_cast<int>(std::min(most, end - first)), static_cast<std::int64_t>(group)});
  return blocks;
}

}  // namespace gramless
