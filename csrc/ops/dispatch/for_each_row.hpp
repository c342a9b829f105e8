// Independent work on every row, in blocks on all threads.
#pragma once

#include "engine/tile/tile.hpp"
#include "engine/walk/walk.hpp"
#include "ops/dispatch/op_table.hpp"

namespace gramless {
inline namespace GRAMLESS_ISA {

// Calls body(i) for i in [0, count).
template <class Body>
void for_each_row(std::int64_t count, double flops, const Execution& execution, Body body) {
  const Blocks blocks{count, 256};
  const bool wide = flops > 1e5 * static_cast<double>(count);
  const WalkPlan plan{
      .tasks = blocks.count(), .flops = flops, .threads = execution.threads, .monitor = execution.monitor};
  walk(
      plan,
      [&](std::int64_t block, char*, char*, Worker&) {
        for (int i = 0; i < blocks.length(block); i++) {
          if (wide && stop_requested()) return;
          body(blocks.begin(block) + i);
        }
      },
      [](std::int64_t, const char*) {});
}

}  // namespace GRAMLESS_ISA
}  // namespace gramless
