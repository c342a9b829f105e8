#include "engine/walk/block_handoff.hpp"

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <vector>

namespace gramless {

struct Turns::State {
  explicit State(std::int64_t blocks) : done(static_cast<std::size_t>(blocks), 0) {}
  std::mutex mutex;  // orders what tasks write to a block: written before pass, read after wait
  std::condition_variable changed;
  std::vector<std::int64_t> done;
};

Turns::Turns(std::int64_t blocks) : state_(std::make_unique<State>(blocks)) {}
Turns::~Turns() = default;

bool Turns::wait(std::int64_t block, std::int64_t turn, Worker& worker) {
  std::unique_lock lock(state_->mutex);
  const std::int64_t& done = state_->done[static_cast<std::size_t>(block)];
  while (done != turn) {
    state_->changed.wait_for(lock, std::chrono::milliseconds(50), [&] { return done == turn; });
    lock.unlock();
    if (worker.stopped()) return false;
    lock.lock();
  }
  return true;
}

void Turns::pass(std::int64_t block) {
  {
    const std::lock_guard lock(state_->mutex);
    state_->done[static_cast<std::size_t>(block)]++;
  }
  state_->changed.notify_all();
}

}  // namespace gramless
