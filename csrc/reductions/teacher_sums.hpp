// The sums of each row in similarity distillation. Plain data, the same type for every ISA.
#pragma once

namespace gramless {

// Arrays with an entry per row: s its student's logits, t its teacher's, both over all keys.
struct TeacherSums {
  double* student_shift = nullptr;  // max s
  double* student = nullptr;        // sum exp(s - student_shift)
  double* teacher_shift = nullptr;  // max t
  double* teacher = nullptr;        // sum exp(t - teacher_shift)
  double* cross = nullptr;          // sum exp(t - teacher_shift) (student_shift - s): no term is negative
};

}  // namespace gramless
