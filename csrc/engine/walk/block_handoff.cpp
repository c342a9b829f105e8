#include "engine/walk/block_handoff.hpp"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <vector>

#include "support/spin.hpp"

namespace gramless {

struct BlockHandoff::State {
  explicit State(std::int64_t blocks) : done(static_cast<std::size_t>(blocks)) {}
  std::vector<std::atomic<std::int64_t>> done;  // orders what tasks write to a block: written before, read after
  std::atomic<int> sleepers{0};  // counted before a thread reads `done` and sleeps, so that pass() sees it
  std::mutex mutex;
  std::condition_variable changed;
};

BlockHandoff::BlockHandoff(std::int64_t blocks) : state_(std::make_unique<State>(blocks)) {}
BlockHandoff::~BlockHandoff() = default;

bool BlockHandoff::wait(std::int64_t block, std::int64_t earlier, Worker& worker) {
  const auto ready = [&] { return state_->done[static_cast<std::size_t>(block)].load() == earlier; };
  if (spin_until(ready)) return true;
  std::unique_lock lock(state_->mutex);
  state_->sleepers++;
  bool stopped = false;
  while (!ready() && !stopped) {
    state_->changed.wait_for(lock, std::chrono::milliseconds(50), ready);
    lock.unlock();
    stopped = worker.stopped();
    lock.lock();
  }
  state_->sleepers--;
  return !stopped;
}

void BlockHandoff::pass(std::int64_t block) {
  state_->done[static_cast<std::size_t>(block)]++;
  if (state_->sleepers == 0) return;
  {
    const std::lock_guard lock(state_->mutex);
  }  // a thread that has not read the new count waits by now
  state_->changed.notify_all();
}

}  // namespace gramless
