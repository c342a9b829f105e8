// Gradients of one side's rows through all their pairs, on the device.
#pragma once

#include "epilogues/softmax_grad.cuh"
#include "ops/contrast/softmax_sums.cuh"
#include "reductions/times_rows.cuh"

namespace gramless::cuda {

template <class Operand>
class SoftmaxGrad {
 public:
  using Value = typename Operand::Value;

  SoftmaxGrad(std::int64_t rows, std::int64_t columns, std::int64_t width, std::int64_t busy_blocks,
              DeviceLayout& layout);

  void run(const DevicePairs<Operand>& pairs, const DeviceCoefficients<Value>& rows,
           const DeviceCoefficients<Value>& columns, LaunchStream& launches) const;

  // The result of run: sums over strips of columns, not yet added, times the scales of weights and rows.
  const Value* partials() const { return partials_; }  // (strips, padded rows, stride)
  std::int64_t strips() const { return strips_; }

 private:
  std::int64_t rows_, strips_;
  int slices_, chunks_;
  Value* partials_;
};

}  // namespace gramless::cuda
