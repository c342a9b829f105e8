// The walk over pairs of row blocks: tiles that write to both of their blocks, each alone with them and in a fixed
// order.
#pragma once

#include "engine/walk/block_handoff.hpp"
#include "engine/walk/pair_schedule_cpu.hpp"
#include "engine/walk/walk.hpp"

namespace gramless {
inline namespace GRAMLESS_ISA {

// body(pair, scratch, worker) for every pair of blocks in `schedule`, symmetric or rectangular. What a body writes to
// its blocks is visible to the next body that has one of them.
template <class Schedule, class Body>
void walk_block_pairs(WalkPlan plan, const Schedule& schedule, std::int64_t blocks, Body body) {
  BlockHandoff handoff(blocks);
  plan.tasks = schedule.count();
  walk(
      plan,
      [&](std::int64_t task, char* scratch, char*, Worker& worker) {
        const BlockPair pair = schedule[task];
        const bool alone = pair.b < 0 || pair.b == pair.a;
        if (!handoff.wait(pair.a, pair.earlier_a, worker)) return;
        if (!alone && !handoff.wait(pair.b, pair.earlier_b, worker)) return;
        if (pair.b >= 0) body(pair, scratch, worker);
        handoff.pass(pair.a);
        if (!alone) handoff.pass(pair.b);
      },
      [](std::int64_t, const char*) {});
}

}  // namespace GRAMLESS_ISA
}  // namespace gramless
