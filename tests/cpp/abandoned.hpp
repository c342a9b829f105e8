// A walk that is abandoned when its only task first calls stop_requested(), independent of the clock.
#pragma once

#include <stdexcept>
#include <thread>

#include "check.hpp"
#include "engine/walk/walk.hpp"

namespace gramless::testing {

// Runs the task on this thread; stop_requested() is true for it.
template <class Task>
void run_abandoned(Task task) {
  ReportClock clock;
  WalkPlan plan{.tasks = 1, .flops = 1, .scratch_bytes = 64, .partial_bytes = 8, .threads = 1, .monitor = {}};
  plan.monitor = {[](void*, std::int64_t, std::int64_t) { throw std::runtime_error("stop"); }, nullptr, &clock};
  std::this_thread::sleep_for(ReportClock::interval);  // the first question is late enough for a report, which throws
  bool thrown = false;
  try {
    walk(plan, [&](std::int64_t, char*, char*, Worker&) { task(); }, [](std::int64_t, const char*) { CHECK(false); });
  } catch (const std::runtime_error&) {
    thrown = true;
  }
  CHECK(thrown);
}

}  // namespace gramless::testing
