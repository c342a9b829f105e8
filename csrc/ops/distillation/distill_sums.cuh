// Each row's sums over a student's logits and its teacher's, on the device.
#pragma once

#include "ops/contrast/softmax_sums.cuh"
#include "reductions/teacher_sums.hpp"

namespace gramless::cuda {

// Forward and backward multiply in the same way, so exp(logit - shift) is at most 1.
template <class Operand>
struct DistillShape : WarpRowsShape<Operand> {
  static constexpr bool lean = true, symmetric = false;
};

// The pairs of student and of teacher: the same rows and columns, with different widths and scales.
template <class Operand>
struct DistillPairs {
  DevicePairs<Operand> student, teacher;
};

template <class Operand>
class DistillSums {
 public:
  DistillSums(std::int64_t rows, std::int64_t columns, DeviceLayout& layout);
  // losses (rows)
  void run(const DistillPairs<Operand>& pairs, const TeacherSums& sums, double* losses, LaunchStream& launches) const;

 private:
  std::int64_t rows_, strips_;
  double* partials_;  // (strips, 5, rows)
};

}  // namespace gramless::cuda
