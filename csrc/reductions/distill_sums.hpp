// Reduction of a tile of a student's logits and one of its teacher's to the softmax sums of their rows, and to the sum
// of one weighted by the other.
#pragma once

#include <cmath>

#include "engine/tile/pair_masks.hpp"
#include "reductions/teacher_sums.hpp"

namespace gramless {
inline namespace GRAMLESS_ISA {

namespace detail {

template <class T>
T largest(Vector<T> values) {
  T top = values[0];
  for (int lane = 1; lane < lanes<T>; lane++) top = values[lane] > top ? values[lane] : top;
  return top;
}

// Raises the shifts to the largest logits so far. A term of the cross sum grows by as much as the student's shift.
inline void raise_shifts(const TeacherSums& sums, int i, double student, double teacher) {
  if (student > sums.student_shift[i]) {
    const double rise = student - sums.student_shift[i];
    if (sums.teacher[i] != 0) sums.cross[i] += rise * sums.teacher[i];  // 0 before the first pair
    sums.student[i] *= std::exp(-rise);
    sums.student_shift[i] = student;
  }
  if (teacher > sums.teacher_shift[i]) {
    const double factor = std::exp(sums.teacher_shift[i] - teacher);
    sums.teacher[i] *= factor;
    sums.cross[i] *= factor;
    sums.teacher_shift[i] = teacher;
  }
}

}  // namespace detail

// Adds two tiles of dot products of the same pairs to the sums of their rows, float32 within a tile's row.
template <class T, class Logit>
void add_distill_sums(const Tile<T>& student, const Tile<T>& teacher, const Logit student_logit,
                      const Logit teacher_logit, const TeacherSums& sums) {
  using V = Vector<T>;
  const V lowest = splat(static_cast<T>(-INFINITY));
  for (int i = 0; i < student.rows; i++) {
    V of_student = lowest, of_teacher = lowest;
    for_each_vector(student, false, i, [&](int j, Mask<T> owned) {
      const V s = student_logit(load<V>(student.row(i) + j)), t = teacher_logit(load<V>(teacher.row(i) + j));
      of_student = owned & (s > of_student) ? s : of_student;  // NaN does not raise the shift and so reaches the sums
      of_teacher = owned & (t > of_teacher) ? t : of_teacher;
    });
    detail::raise_shifts(sums, i, static_cast<double>(detail::largest<T>(of_student)),
                         static_cast<double>(detail::largest<T>(of_teacher)));
    const T student_shift = static_cast<T>(sums.student_shift[i]),
            teacher_shift = static_cast<T>(sums.teacher_shift[i]);
    V student_sum{}, teacher_sum{}, cross{};
    for_each_vector(student, false, i, [&](int j, Mask<T> owned) {
      const V s = student_logit(load<V>(student.row(i) + j)), t = teacher_logit(load<V>(teacher.row(i) + j));
      const V weight = owned ? teacher_logit.weight(t, teacher_shift) : V{};
      student_sum += owned ? student_logit.weight(s, student_shift) : V{};
      teacher_sum += weight;
      cross += owned ? weight * (student_shift - s) : V{};
    });
    sums.student[i] += horizontal_sum<T>(student_sum);
    sums.teacher[i] += horizontal_sum<T>(teacher_sum);
    sums.cross[i] += horizontal_sum<T>(cross);
  }
}

}  // namespace GRAMLESS_ISA
}  // namespace gramless
