// Elementwise work on a long row, in blocks on all threads, that an interrupt can stop.
#pragma once

#include <algorithm>

#include "engine/walk/walk.hpp"
#include "ops/dispatch/op_table.hpp"

namespace gramless {

// Calls body(first, end) for blocks of [0, count).
template <class Body>
void for_blocks(std::int64_t count, const Execution& execution, Body body) {
  constexpr std::int64_t length = 1 << 16;
  if (count <= length) return body(0, count);
  const WalkPlan plan{.tasks = (count + length - 1) / length,
                      .flops = 16.0 * static_cast<double>(count),
                      .threads = execution.threads,
                      .monitor = execution.monitor};
  walk(
      plan,
      [&](std::int64_t block, char*, char*, Worker&) { body(block * length, std::min(count, (block + 1) * length)); },
      [](std::int64_t, const char*) {});
}

}  // namespace gramless
