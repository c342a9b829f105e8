// Tasks of a walk that write to row blocks: each block is handed from task to task in a fixed order, so that there are
// no locks around sums, no copies of the output per thread, and the same bits for any number of threads.
#pragma once

#include <cstdint>
#include <memory>

#include "engine/walk/walk.hpp"

namespace gramless {

// Whose turn it is at each block. A walk starts its tasks in order, so the earliest task that is not done never waits.
class Turns {
 public:
  explicit Turns(std::int64_t blocks);
  ~Turns();

  // Blocks until `turn` earlier tasks are done with the block; false if the walk was stopped meanwhile.
  bool wait(std::int64_t block, std::int64_t turn, Worker& worker);
  void pass(std::int64_t block);  // what was written to the block is seen by whoever waits for the next turn

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace gramless
