// Walk over tiles of two problems -> derivatives with respect to the student's logits -> gradients of its rows: the
// backward pass of similarity distillation.
#include "epilogues/distill_grad.hpp"

#include "ops/contrast/contrast_walk.hpp"
#include "reductions/times_rows.hpp"

namespace gramless {
inline namespace GRAMLESS_ISA {
namespace {

template <class T>
TeacherCoefficients<T> coefficients(const DistillGradTask& task, std::int64_t first) {
  const auto from = [&](const void* values) { return static_cast<const T*>(values) + first; };
  return {from(task.student_shift), from(task.student_factor), from(task.teacher_shift), from(task.teacher_factor)};
}

template <class T>
void differentiate(const DistillGradTask& task, const Execution& execution) {
  const ContrastWalk<T> student(task.student, execution), teacher(task.teacher, execution);
  const Logit<T, true> student_logit{static_cast<T>(task.student.scale), T(0)},
      teacher_logit{static_cast<T>(task.teacher.scale), T(0)};
  const PairSide& keys = task.student.columns;
  const std::int64_t width = task.student.width;
  for_each_of_both(student, teacher, 2, [&](const Tile<T>& s, const Tile<T>& t, std::int64_t a, std::int64_t b) {
    distill_grad(s, t, student_logit, teacher_logit, coefficients<T>(task, task.student.rows.blocks[a].first));
    const T* z = static_cast<const T*>(keys.z) + keys.blocks[b].first * keys.stride;
    add_times_rows(weights_of(s), RowSpan<const T>{z, keys.stride}, width,
                   RowSpan<T>{static_cast<T*>(task.grads[a]), width});
  });
}

}  // namespace

void distill_grad(const DistillGradTask& task, const Execution& execution) {
  if (execution.compute == Compute::float32)
    differentiate<float>(task, execution);
  else
    differentiate<double>(task, execution);
}

}  // namespace GRAMLESS_ISA
}  // namespace gramless
