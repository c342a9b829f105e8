// The tasks of similarity distillation: a student's softmax over its keys beside a teacher's over its own. Plain data,
// as in op_table.hpp; void pointers are to the compute type.
#pragma once

#include "ops/dispatch/contrast_tasks.hpp"
#include "reductions/teacher_sums.hpp"

namespace gramless {

// Student and teacher have the same rows and columns in the same blocks, but different widths and scales.
struct DistillSumsTask {
  PairProblem student, teacher;
  TeacherSums sums;
};

// grads += G columns with G the derivatives with respect to the student's logits: see TeacherCoefficients.
struct DistillGradTask {
  PairProblem student, teacher;
  const void *student_shift, *student_factor, *teacher_shift, *teacher_factor;  // (rows)
  void* const* grads;  // for every block of rows its first row, (rows, width of the student)
};

}  // namespace gramless
