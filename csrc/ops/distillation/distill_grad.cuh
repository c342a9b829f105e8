// Gradients of a student's rows through all their pairs, on the device.
#pragma once

#include "ops/distillation/distill_sums.cuh"
#include "reductions/times_rows.cuh"

namespace gramless::cuda {

// Arrays (padded rows) of the tiles' type. With s and t a pair's logits, the derivative with respect to s is
//   exp(s - student_shift) * student_factor - exp(t - teacher_shift) * teacher_factor.
template <class T>
struct DeviceTeacherCoefficients {
  T *student_shift, *student_factor, *teacher_shift, *teacher_factor;
};

template <class Operand>
class DistillGrad {
 public:
  using Value = typename Operand::Value;

  DistillGrad(std::int64_t rows, std::int64_t columns, std::int64_t width, DeviceLayout& layout);
  void run(const DistillPairs<Operand>& pairs, const DeviceTeacherCoefficients<Value>& coefficients,
           LaunchStream& launches) const;

  // The result of run: sums over strips of columns, not yet added, times the scales of factors and rows.
  const Value* partials() const { return partials_; }  // (strips, padded rows, stride)
  std::int64_t strips() const { return strips_; }

 private:
  std::int64_t rows_, strips_;
  int chunks_;
  Value* partials_;
};

}  // namespace gramless::cuda
