#include "engine/walk/walk.hpp"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstring>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "support/thread_pool.hpp"
#include "support/workspace.hpp"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(address, bytes) (void)0
#define ASAN_UNPOISON_MEMORY_REGION(address, bytes) (void)0
#endif

namespace gramless {
namespace walk_detail {
namespace {

constexpr double flops_per_thread = 12e6;  // below this, waking a thread costs more than it saves

thread_local Worker* worker_of_thread = nullptr;

// The scratch memory of a walk's threads, cut from one allocation that the next walk may reuse: fresh pages would cost
// a short walk more than its work does. AddressSanitizer checks the gaps between the pieces.
class WalkMemory {
 public:
  // How many bytes `count` pieces of `bytes` each take.
  static std::size_t room(std::size_t count, std::size_t bytes) {
    return count * (AlignedBuffer::round_up(bytes) + gap);
  }

  explicit WalkMemory(std::size_t room) : room_(room) {
    if (room <= most_kept)
      kept_ = Workspace(room, Workspace::BeyondLimit::fresh);
    else
      own_ = AlignedBuffer(room);
    next_ = begin();
    ASAN_POISON_MEMORY_REGION(begin(), room_);
  }
  WalkMemory(const WalkMemory&) = delete;
  WalkMemory& operator=(const WalkMemory&) = delete;
  ~WalkMemory() { ASAN_UNPOISON_MEMORY_REGION(begin(), room_); }

  char* take(std::size_t bytes) {
    ASAN_UNPOISON_MEMORY_REGION(next_, bytes);
    return std::exchange(next_, next_ + room(1, bytes));
  }

 private:
  static constexpr std::size_t gap = AlignedBuffer::alignment, most_kept = std::size_t{32} << 20;

  char* begin() const { return room_ <= most_kept ? kept_.data() : own_.data(); }

  std::size_t room_;
  Workspace kept_;
  AlignedBuffer own_;
  char* next_ = nullptr;
};

// Finished tasks wait in a ring until all before them have merged; a thread may run ahead by the length of the ring.
class OrderedWalk {
 public:
  OrderedWalk(const WalkPlan& plan, const WalkSteps& steps, int threads)
      : plan_(plan),
        steps_(steps),
        ring_(static_cast<std::size_t>(threads == 1 ? 1 : 2 * threads + 2)),
        scratch_(static_cast<std::size_t>(threads)),
        memory_(WalkMemory::room(scratch_.size(), plan.scratch_bytes) +
                WalkMemory::room(ring_.size(), plan.partial_bytes)) {
    for (Slot& slot : ring_) slot.partial = memory_.take(plan.partial_bytes);
    for (char*& scratch : scratch_) {
      scratch = memory_.take(plan.scratch_bytes);
      std::memset(scratch, 0, std::min(plan.scratch_bytes, AlignedBuffer::alignment));
    }
  }

  void run() {
    caller_ = std::this_thread::get_id();
    run_on_threads(static_cast<int>(scratch_.size()), [this] { serve(); });
    if (error_) std::rethrow_exception(error_);
  }

 private:
  struct Slot {
    char* partial = nullptr;
    bool ready = false;
  };

  struct ThreadWorker final : Worker {
    explicit ThreadWorker(OrderedWalk& owner) : walk(owner), reports(std::this_thread::get_id() == owner.caller_) {}
    bool stopped() override {
      if (reports) walk.report();
      return walk.stopped_.load(std::memory_order_relaxed);
    }
    OrderedWalk& walk;
    const bool reports;
  };

  void serve() {
    std::unique_lock lock(mutex_);
    if (entered_ == scratch_.size()) return;
    char* scratch = scratch_[entered_++];
    lock.unlock();
    ThreadWorker worker(*this);
    Worker* const outer = std::exchange(worker_of_thread, &worker);  // of an outer walk, whose report called this one
    while (true) {
      lock.lock();
      const std::int64_t task = claim(lock, worker);
      lock.unlock();
      if (task < 0) break;
      char* partial = slot(task).partial;
      steps_.compute(steps_.context, task, scratch, partial, worker);
      lock.lock();
      if (!stopped_) finish_task(task);
      lock.unlock();
      worker.stopped();
    }
    worker_of_thread = outer;
    lock.lock();
    steps_.finish(steps_.context, scratch);
  }

  // The next task, or -1 when there is none left.
  std::int64_t claim(std::unique_lock<std::mutex>& lock, ThreadWorker& worker) {
    const auto ready = [&] { return stopped_ || claimed_ == plan_.tasks || claimed_ < merged_ + ring_length(); };
    while (!ready()) {
      progress_.wait_for(lock, ReportClock::interval, ready);
      lock.unlock();
      worker.stopped();
      lock.lock();
    }
    return stopped_ || claimed_ == plan_.tasks ? -1 : claimed_++;
  }

  void finish_task(std::int64_t task) {
    slot(task).ready = true;
    const bool was_full = claimed_ == merged_ + ring_length();
    for (; merged_ < plan_.tasks && slot(merged_).ready; merged_++) {
      steps_.merge(steps_.context, merged_, slot(merged_).partial);
      slot(merged_).ready = false;
    }
    if (was_full) progress_.notify_all();
  }

  void report() {
    if (plan_.monitor.report == nullptr) return;
    if (!clock_.due()) return;
    try {
      std::int64_t done;
      {
        const std::lock_guard lock(mutex_);
        if (stopped_) return;
        done = merged_;
      }
      plan_.monitor.report(plan_.monitor.context, done, plan_.tasks);
    } catch (...) {
      const std::lock_guard lock(mutex_);
      error_ = std::current_exception();
      stopped_ = true;
      progress_.notify_all();
    }
  }

  std::int64_t ring_length() const { return static_cast<std::int64_t>(ring_.size()); }
  Slot& slot(std::int64_t task) { return ring_[static_cast<std::size_t>(task % ring_length())]; }

  const WalkPlan& plan_;
  const WalkSteps& steps_;
  std::vector<Slot> ring_;
  std::vector<char*> scratch_;
  WalkMemory memory_;
  std::thread::id caller_;
  std::mutex mutex_;  // orders everything below, the partial answers included: written before ready is set
  std::condition_variable progress_;
  std::size_t entered_ = 0;
  std::int64_t claimed_ = 0, merged_ = 0;
  std::atomic<bool> stopped_{false};
  std::exception_ptr error_;
  ReportClock own_clock_;
  ReportClock& clock_ = plan_.monitor.clock ? *plan_.monitor.clock : own_clock_;  // only the caller's thread reads it
};

}  // namespace

void walk(const WalkPlan& plan, const WalkSteps& steps) {
  if (plan.tasks == 0) return;
  const double useful = std::min(
      {static_cast<double>(plan.threads), static_cast<double>(plan.tasks), 1.0 + plan.flops / flops_per_thread});
  OrderedWalk(plan, steps, std::max(1, static_cast<int>(useful))).run();
}

}  // namespace walk_detail

bool stop_requested() {
  Worker* const worker = walk_detail::worker_of_thread;
  return worker != nullptr && worker->stopped();
}

}  // namespace gramless
