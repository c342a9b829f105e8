// The tiles of gram_sums.cu on compute capability 9.0, where GRAMLESS_HOPPER=1.
#pragma once

#include "ops/dispatch/launch_stream.cuh"
#include "ops/gram/gram_task.cuh"

namespace gramless::cuda {

// Leaves what sum_tiles leaves of so many rounds; a block has several tiles where `busy_blocks` are enough. False where
// it cannot, and nothing is enqueued.
template <class Operand>
bool sum_tiles_on_hopper(const GramTask<Operand>& task, std::int64_t rounds, std::int64_t busy_blocks,
                         LaunchStream& launches);

}  // namespace gramless::cuda
