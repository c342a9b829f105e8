// Tasks of a walk that write to row blocks: each block is handed from task to task in a fixed order, so that there are
// no locks around sums, no copies of the output per thread, and bitwise-identical results for any number of threads.
#pragma once

#include <cstdint>
#include <memory>

#include "engine/walk/walk.hpp"

namespace gramless {

// How many tasks have finished with each block. A walk starts its tasks in order, so the earliest unfinished task never
// waits.
class BlockHandoff {
 public:
  explicit BlockHandoff(std::int64_t blocks);
  ~BlockHandoff();

  // Waits until `earlier` tasks are done with the block; false if the walk was stopped meanwhile.
  bool wait(std::int64_t block, std::int64_t earlier, Worker& worker);
  void pass(std::int64_t block);  // what was written to the block is visible to the task that waits for its turn

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace gramless
