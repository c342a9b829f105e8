// Epilogue of similarity distillation's backward: dot products become the derivatives with respect to the student's
// logits.
#pragma once

#include "engine/tile/pair_masks.hpp"
#include "epilogues/logit.hpp"

namespace gramless {
inline namespace GRAMLESS_ISA {

// With s and t a pair's logits, the derivative is
//   exp(s - student_shift) * student_factor - exp(t - teacher_shift) * teacher_factor,
// the student's softmax less the teacher's, times the weight of the row's loss.
template <class T>
struct TeacherCoefficients {
  const T *student_shift, *student_factor, *teacher_shift, *teacher_factor;
};

// Replaces the student's dot products.
template <class T>
void distill_grad(const Tile<T>& student, const Tile<T>& teacher, const Logit<T, true> student_logit,
                  const Logit<T, true> teacher_logit, const TeacherCoefficients<T>& rows) {
  using V = Vector<T>;
  for (int i = 0; i < student.rows; i++)
    for_each_vector(student, false, i, [&](int j, Mask<T> owned) {
      T* const entries = student.row(i) + j;
      const V s = student_logit(load<V>(entries)), t = teacher_logit(load<V>(teacher.row(i) + j));
      const V derivative = student_logit.weight(s, rows.student_shift[i]) * rows.student_factor[i] -
                           teacher_logit.weight(t, rows.teacher_shift[i]) * rows.teacher_factor[i];
      store(entries, owned ? derivative : V{});
    });
}

}  // namespace GRAMLESS_ISA
}  // namespace gramless
