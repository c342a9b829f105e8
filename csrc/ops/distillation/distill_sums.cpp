// Walk over tiles of two problems -> logits of both -> each row's sums: the forward pass of similarity distillation.
#include "reductions/distill_sums.hpp"

#include "epilogues/logit.hpp"
#include "ops/contrast/contrast_walk.hpp"

namespace gramless {
inline namespace GRAMLESS_ISA {
namespace {

TeacherSums from(const TeacherSums& sums, std::int64_t first) {
  return {sums.student_shift + first, sums.student + first, sums.teacher_shift + first, sums.teacher + first,
          sums.cross + first};
}

template <class T>
void sum(const DistillSumsTask& task, const Execution& execution) {
  const ContrastWalk<T> student(task.student, execution), teacher(task.teacher, execution);
  const Logit<T, true> student_logit{static_cast<T>(task.student.scale), T(0)},
      teacher_logit{static_cast<T>(task.teacher.scale), T(0)};
  for_each_of_both(student, teacher, 1, [&](const Tile<T>& s, const Tile<T>& t, std::int64_t a, std::int64_t) {
    add_distill_sums(s, t, student_logit, teacher_logit, from(task.sums, task.student.rows.blocks[a].first));
  });
}

}  // namespace

void distill_sums(const DistillSumsTask& task, const Execution& execution) {
  if (execution.compute == Compute::float32)
    sum<float>(task, execution);
  else
    sum<double>(task, execution);
}

}  // namespace GRAMLESS_ISA
}  // namespace gramless
