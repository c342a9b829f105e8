// What the kernels for gradients through softmax sums read and write.
#pragma once

#include "ops/contrast/softmax_grad.cuh"

namespace gramless::cuda {

template <class Operand>
struct SoftmaxGradTask {
  DevicePairs<Operand> pairs;
  DeviceCoefficients<typename Operand::Value> rows, columns;
  std::int64_t padded_rows;
  typename Operand::Value* partials;  // (strips, padded rows, stride)
};

}  // namespace gramless::cuda
