// Gradients of one layer's rows through the kernel values of all their pairs, on the device.
#pragma once

#include "ops/dispatch/launch_stream.cuh"
#include "ops/dispatch/layer.cuh"
#include "ops/dispatch/scratch.cuh"
#include "ops/dispatch/warp_rows.cuh"
#include "reductions/times_rows.cuh"

namespace gramless::cuda {

template <class Operand>
struct KernelGradShape : WarpRowsShape<Operand> {
  static constexpr bool lean = true, symmetric = false;
};

// The derivative of a loss with respect to the layer's kernel value of a pair:
//   own * value + other * value of the other layer + row_terms[i] + row_terms[j] + constant
struct PairDerivative {
  double own, other, constant;
  double scale;  // a power of two that makes the largest weight so large that float16 has all its digits
};

template <class Operand>
struct KernelGradTask {
  DeviceLayer<Operand> layer, other;
  std::int64_t rows, padded_rows;
  const typename Operand::Value* row_terms;  // (padded rows)
  const PairDerivative* derivative;          // (1)
  typename Operand::Value* partials;         // (strips, padded rows, stride)
  double* weight_sums;                       // (strips, padded rows)
};

template <class Operand>
class KernelGrad {
 public:
  using Value = typename Operand::Value;

  KernelGrad(std::int64_t rows, std::int64_t width, DeviceLayout& layout);
  void run(const DeviceLayer<Operand>& layer, const DeviceLayer<Operand>& other, const Value* row_terms,
           const PairDerivative* derivative, LaunchStream& launches) const;

  const Value* partials() const { return partials_; }         // times the derivative's scale
  const double* weight_sums() const { return weight_sums_; }  // the sums of each row's weights
  std::int64_t strips() const { return strips_; }

 private:
  std::int64_t rows_, padded_, strips_;
  int slices_, chunks_;
  Value* partials_;
  double* weight_sums_;
};

}  // namespace gramless::cuda
