// The tiles of softmax_sums.cu and softmax_grad.cu on compute capability 9.0, where GRAMLESS_HOPPER=1: rows of 65 to
// 128 numbers of 16 bits without keys, no negative left out.
#pragma once

#include "ops/contrast/softmax_grad_task.cuh"
#include "ops/contrast/softmax_rows.cuh"

namespace gramless::cuda {

// Produce the results of sum_softmax and grad_of_rows. They return false, and enqueue nothing, for pairs that they do
// not support.
template <class Operand>
bool sum_softmax_on_hopper(const SumsTask<Operand>& task, std::int64_t strips, LaunchStream& launches);
template <class Operand>
bool grad_of_rows_on_hopper(const SoftmaxGradTask<Operand>& task, std::int64_t strips, LaunchStream& launches);

}  // namespace gramless::cuda
