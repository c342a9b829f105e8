// Operations that run asynchronously to a block's threads: copies of boxes and products of warpgroups. To
// ThreadSanitizer each is a separate thread, ordered after the thread that issued it and before every thread that waits
// for its end.
#pragma once

#include <utility>

#include "cuda_emulator/block.hpp"

namespace emulator {

inline char* new_token() {
  char* const token = static_cast<char*>(std::malloc(1));
  block->kept.push_back(token);
  return token;
}

// An error here ends the block like an error in one of its threads.
inline void run_apart(const Operation& operation) {
#if defined(__SANITIZE_THREAD__)
  void *const thread = __tsan_get_current_fiber(), *const own = __tsan_create_fiber(0);
  __tsan_switch_to_fiber(own, 1);
#endif
  acquire(operation.issued);
  try {
    operation.run();
  } catch (const Error& error) {
    const Bookkeeping quiet;
    if (block->error.empty()) block->error = error.what();
  }
#if defined(__SANITIZE_THREAD__)
  __tsan_switch_to_fiber(thread, 1);
  __tsan_destroy_fiber(own);
#endif
}

// Runs an operation at once, or when no thread can continue: then the oldest, the newest or a random one, depending on
// the order.
inline void start(std::function<void()> run) {
  const Bookkeeping own;
  Operation operation{new_token(), std::move(run)};
  release(operation.issued);
  if (block->how.late_copies) {
    block->under_way.push_back(std::move(operation));
    return;
  }
  run_apart(operation);
  if (!block->error.empty()) fail(block->error);
}

inline void finish_one() {
  auto& all = block->under_way;
  std::size_t position = 0;
  if (block->how.order == Options::Order::reverse) position = all.size() - 1;
  if (block->how.order == Options::Order::random) position = block->random() % all.size();
  const Operation operation = std::move(all[position]);
  all.erase(all.begin() + static_cast<std::ptrdiff_t>(position));
  run_apart(operation);
}

// 128 threads store their operands; the last one runs `all_are_here`, then all continue.
template <class Leave, class Finish>
void warpgroup_operation(const char* operation, Site site, Leave leave, Finish all_are_here) {
  const Bookkeeping own;
  Thread& thread = self();
  Warpgroup& group = block->warpgroups[thread.number / 128];
  if (group.waiting.empty()) {
    group.site = site;
    group.operation = operation;
  } else if (group.operation != operation || !(group.site == site)) {
    fail("divergent warpgroup: " + std::string(group.operation) + " at " + group.site.text() + " and " + operation +
         " at " + site.text());
  }
  leave(group, thread);
  if (group.waiting.size() + 1 < 128) {
    group.waiting.push_back(&thread);
    wait_here(site);
    return;
  }
  all_are_here(group);
  for (Thread* other : group.waiting) wake(*other);
  group.waiting.clear();
}

}  // namespace emulator
