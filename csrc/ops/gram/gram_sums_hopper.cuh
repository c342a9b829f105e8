// The tiles of gram_sums.cu on compute capability 9.0, where GRAMLESS_HOPPER=1.
#pragma once

#include "ops/dispatch/launch_stream.cuh"
#include "ops/gram/gram_task.cuh"

namespace gramless::cuda {

// Produces the results of sum_tiles for the given rounds; a block computes several tiles if `busy_blocks` blocks are
// enough. Returns false, and enqueues nothing, where it is not supported.
template <class Operand>
bool sum_tiles_on_hopper(const GramTask<Operand>& task, std::int64_t rounds, std::int64_t busy_blocks,
                         LaunchStream& launches);

}  // namespace gramless::cuda
