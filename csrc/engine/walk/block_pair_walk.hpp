// The walk over matches: tiles that write to both of their row blocks, each alone with them and in a fixed order.
#pragma once

#include "engine/walk/block_handoff.hpp"
#include "engine/walk/pair_schedule_cpu.hpp"
#include "engine/walk/walk.hpp"

namespace gramless {
inline namespace GRAMLESS_ISA {

// body(match, scratch, worker) for every match of two blocks in `schedule`, a Tournament or a Pairing. What a body
// writes to its blocks is seen by the next body with one of them.
template <class Schedule, class Body>
void walk_matches(WalkPlan plan, const Schedule& schedule, std::int64_t blocks, Body body) {
  Turns turns(blocks);
  plan.tasks = schedule.count();
  walk(
      plan,
      [&](std::int64_t task, char* scratch, char*, Worker& worker) {
        const Match match = schedule[task];
        const bool alone = match.b < 0 || match.b == match.a;
        if (!turns.wait(match.a, match.turn_a, worker)) return;
        if (!alone && !turns.wait(match.b, match.turn_b, worker)) return;
        if (match.b >= 0) body(match, scratch, worker);
        turns.pass(match.a);
        if (!alone) turns.pass(match.b);
      },
      [](std::int64_t, const char*) {});
}

}  // namespace GRAMLESS_ISA
}  // namespace gramless
