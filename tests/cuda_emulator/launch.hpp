// Runs the blocks of a grid one after the other, the threads of a block in the order that the options set.
#pragma once

#include <cstdlib>
#include <deque>
#include <utility>

#include "cuda_emulator/asynchronous.hpp"

namespace emulator {

EMULATOR_UNSEEN inline void to_scheduler() { switch_fibers(block->running->fiber, block->scheduler); }

// A thread of the block, from its first instruction to its last. Fibers are kept: the next block continues here.
inline void run_threads() {
#if defined(__SANITIZE_ADDRESS__)
  const void* bottom;
  std::size_t bytes;
  __sanitizer_finish_switch_fiber(nullptr, &bottom, &bytes);
  if (block->scheduler.stack == nullptr) {
    block->scheduler.stack = static_cast<char*>(const_cast<void*>(bottom));
    block->scheduler.bytes = bytes;
  }
#endif
  while (true) {
    Thread& thread = self();
    {
      std::string error;
      acquire(&block->begun);
      try {
        block->kernel();
      } catch (const std::exception& caught) {
        error = caught.what();
      }
      const Bookkeeping own;
      if (error.empty() && thread.has_copies()) error = "a thread leaves with copies that were not waited for";
      if (error.empty() && !thread.sums.empty()) error = "a thread leaves with products that were not waited for";
      if (block->error.empty()) block->error = error;
      thread.state = Thread::State::done;
      thread.forget_operations();
      --block->alive;
      release(&block->ended);
    }
    to_scheduler();
  }
}

// The threads' fibers. ThreadSanitizer treats operations of one fiber as ordered, but blocks are not ordered, so under
// it a block has other fibers than the blocks before it, until there are `most`: creating a fiber is slow and takes
// almost a megabyte. The next launch, which is ordered after this one, reuses them.
class Fibers {
 public:
  // For the next block.
  void renew(Fiber& fiber) {
    if (fiber.stack != nullptr) {
      if (most == 0) return;
      used_.push_back(fiber);
    }
    std::deque<Fiber>& again = idle_.empty() ? used_ : idle_;
    if (!idle_.empty() || (count_ >= most && !again.empty())) {
      fiber = again.front();
      again.pop_front();
    } else {
      fiber = {};
      create(fiber, run_threads);
      count_++;
    }
  }
  void give_back(Fiber& fiber) {
    if (fiber.stack == nullptr) return;
    if (most > 0) return idle_.push_back(fiber);
    destroy(fiber);
    count_--;
  }
  void end_launch() {
    idle_.insert(idle_.end(), used_.begin(), used_.end());
    used_.clear();
  }

 private:
#if defined(__SANITIZE_THREAD__)
  static constexpr std::size_t most = 3072;
#else
  static constexpr std::size_t most = 0;
#endif
  std::size_t count_ = 0;
  std::deque<Fiber> idle_, used_;  // used_: by earlier blocks of this launch
};
inline thread_local Fibers fibers;

class Launch {
 public:
  Launch(Extent grid, Extent extent, std::size_t shared_bytes, std::function<void()> kernel) {
    const Bookkeeping own;
    const unsigned threads = extent.x * extent.y * extent.z;
    if (threads == 0 || threads > 1024) throw Error("a block of " + std::to_string(threads) + " threads");
    if (shared_bytes > 227 << 10) throw Error(std::to_string(shared_bytes) + " bytes of shared memory");
    own_.grid = grid;
    own_.extent = extent;
    own_.how = options;
    own_.kernel = std::move(kernel);
    own_.random.seed(options.seed);
    own_.shared_bytes = shared_bytes;
    own_.threads.resize(threads);
    own_.warps.resize((threads + 31) / 32);
    for (unsigned i = 0; i < threads; i++) {
      Thread& thread = own_.threads[i];
      thread.number = i;
      thread.warp = i / 32;
      thread.lane = i % 32;
      thread.index = {i % extent.x, i / extent.x % extent.y, i / extent.x / extent.y};
    }
#if defined(__SANITIZE_THREAD__)
    own_.scheduler.tsan_thread = __tsan_get_current_fiber();
#endif
    block = &own_;
  }

  ~Launch() {
    const Bookkeeping own;
    acquire(&own_.ended);
    for (Thread& thread : own_.threads) fibers.give_back(thread.fiber);
    fibers.end_launch();
    for (void* memory : own_.kept) std::free(memory);
    block = nullptr;
  }

  void run() {
    release(&own_.begun);  // the launch is ordered before its threads, but no block before another
    for (unsigned z = 0; z < own_.grid.z; z++)
      for (unsigned y = 0; y < own_.grid.y; y++)
        for (unsigned x = 0; x < own_.grid.x; x++) {
          own_.index = {x, y, z};
          run_block();
        }
  }

 private:
  static std::size_t padded(std::size_t bytes) { return (bytes + 1023) / 1024 * 1024; }

  void start_block() {
    own_.alive = own_.threads.size();
    own_.ready.clear();
    own_.barrier = {};
    own_.phase_barriers.clear();
    own_.under_way.clear();
    own_.warpgroups.assign((own_.threads.size() + 127) / 128, {});
    for (Warp& warp : own_.warps) warp.arrived = 0;
    for (Thread& thread : own_.threads) fibers.renew(thread.fiber);
    for (Thread& thread : own_.threads) wake(thread);
    own_.tokens = static_cast<char*>(std::malloc(own_.token_count()));
    own_.kept.push_back(own_.tokens);
    prepare_shared_memory();
  }

  // Filled with NaN: shared memory is not zero at first.
  void prepare_shared_memory() {
    const std::size_t bytes = padded(own_.shared_bytes);
    if (bytes == 0) return;
#if defined(__SANITIZE_THREAD__)
    own_.shared = nullptr;  // no block can read another's
#endif
    if (own_.shared == nullptr) {
      own_.shared = static_cast<char*>(std::aligned_alloc(1024, bytes));
      own_.kept.push_back(own_.shared);
#if defined(__SANITIZE_ADDRESS__)
      __asan_poison_memory_region(own_.shared + own_.shared_bytes, bytes - own_.shared_bytes);
#endif
    }
    std::memset(own_.shared, 0xff, own_.shared_bytes);
  }

  unsigned take_next() {
    std::deque<unsigned>& ready = own_.ready;
    std::size_t position = 0;
    if (own_.how.order == Options::Order::reverse) position = ready.size() - 1;
    if (own_.how.order == Options::Order::random) position = own_.random() % ready.size();
    const unsigned number = ready[position];
    if (own_.how.order == Options::Order::random) ready[position] = ready.back();
    if (own_.how.order == Options::Order::forward)
      ready.pop_front();
    else
      ready.pop_back();
    return number;
  }

  void resume(Thread& thread) {
    own_.running = &thread;
    switch_fibers(own_.scheduler, thread.fiber);
  }

  std::string deadlock() const {
    std::string message = "deadlock: " + std::to_string(own_.alive) + " threads wait";
    int named = 0;
    for (const Thread& thread : own_.threads)
      if (thread.state == Thread::State::blocked && named++ < 3)
        message += ", " + std::to_string(thread.number) + " at " + thread.waits_at.text();
    return message;
  }

  void run_block() {
    const Bookkeeping own;
    start_block();
    while (own_.alive > 0) {
      if (!own_.ready.empty()) {
        resume(own_.threads[take_next()]);
        continue;
      }
      if (own_.error.empty() && !own_.under_way.empty()) {
        finish_one();
        continue;
      }
      if (own_.error.empty()) own_.error = deadlock();
      for (Thread& thread : own_.threads)  // woken by an error, they unwind
        if (thread.state == Thread::State::blocked) resume(thread);
    }
    if (own_.error.empty() && !own_.under_way.empty()) own_.error = "a block ends before its copies";
    if (own_.error.empty()) return;
    const std::string where = " (block " + std::to_string(own_.index.x) + ", " + std::to_string(own_.index.y) + ")";
    throw Error(std::exchange(own_.error, {}) + where);
  }

  Block own_;
};

}  // namespace emulator
