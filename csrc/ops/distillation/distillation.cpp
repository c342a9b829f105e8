#include "ops/distillation/distillation.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <optional>

#include "ops/contrast/contrast_rows.hpp"
#include "ops/dispatch/padded_values.hpp"

namespace gramless {
namespace {

// The passes of student and teacher over their tiles.
class DistillationPass {
 public:
  DistillationPass(const DistillTask& problem, const OpTable& ops, const Execution& execution)
      : problem_(problem),
        ops_(table_for(problem.normalize, ops)),
        execution_(execution),
        student_(rows_of(problem.student)),
        teacher_(rows_of(problem.teacher)),
        queue_(rows_of(problem.queue)) {
    if (problem.teacher_queue.data != nullptr) teacher_queue_.emplace(rows_of(problem.teacher_queue));
    of_student_ = pairs(student_, queue_, problem.temperature);
    of_teacher_ = pairs(teacher_, teacher_queue_ ? *teacher_queue_ : queue_, problem.teacher_temperature);
  }

  DistillationLosses losses() const {
    const auto count = static_cast<std::size_t>(student_.rows());
    DistillationLosses found;
    DistillationSums& sums = found.sums;
    std::vector<double> cross(count, 0.0);
    for (auto* shifts : {&sums.student_shift, &sums.teacher_shift})
      shifts->assign(count, -std::numeric_limits<double>::infinity());
    for (auto* values : {&sums.student, &sums.teacher}) values->assign(count, 0.0);
    ops_.distill_sums({of_student_,
                       of_teacher_,
                       {sums.student_shift.data(), sums.student.data(), sums.teacher_shift.data(), sums.teacher.data(),
                        cross.data()}},
                      execution_);
    for (std::size_t i = 0; i < count; i++)
      found.losses.push_back(std::log(sums.student[i]) + cross[i] / sums.teacher[i]);
    return found;
  }

  double gradient(const DistillationSums& sums, std::span<const double> weights, void* grad) const {
    const auto count = static_cast<std::size_t>(student_.rows());
    std::vector<double> of_student(count), of_teacher(count);
    for (std::size_t i = 0; i < count; i++) {
      of_student[i] = weights[i] / sums.student[i];
      of_teacher[i] = weights[i] / sums.teacher[i];
    }
    const AlignedBuffer student_shift = padded_values(sums.student_shift, execution_.compute),
                        student_factor = padded_values(of_student, execution_.compute),
                        teacher_shift = padded_values(sums.teacher_shift, execution_.compute),
                        teacher_factor = padded_values(of_teacher, execution_.compute);
    const std::int64_t row_bytes = student_.width() * static_cast<std::int64_t>(element_bytes(execution_.compute));
    std::fill_n(static_cast<char*>(grad), student_.rows() * row_bytes, char{0});
    std::vector<void*> blocks;
    for (const RowBlock& block : student_.blocks())
      blocks.push_back(static_cast<char*>(grad) + block.first * row_bytes);
    ops_.distill_grad({of_student_, of_teacher_, student_shift.data(), student_factor.data(), teacher_shift.data(),
                       teacher_factor.data(), blocks.data()},
                      execution_);
    std::vector<double> alignments(count);
    ops_.finish_grad(
        {student_.z(0), student_.stride(), student_.rows(), student_.width(),
         problem_.normalize ? student_.inverse_norms(0) : nullptr, of_student_.scale, grad, alignments.data()},
        execution_);
    return -std::accumulate(alignments.begin(), alignments.end(), 0.0) / problem_.temperature;
  }

 private:
  ContrastRows rows_of(const Matrix& x) const {
    return plain_contrast_rows({ArrayView{x}}, problem_.normalize, ops_, execution_);
  }

  static PairProblem pairs(const ContrastRows& rows, const ContrastRows& keys, double temperature) {
    PairProblem pairs;
    pairs.rows = rows.side();
    pairs.columns = keys.side();
    pairs.symmetric = false;
    pairs.width = rows.width();
    pairs.scale = 1 / temperature;
    pairs.running = true;
    return pairs;
  }

  const DistillTask& problem_;
  const OpTable& ops_;
  const Execution& execution_;
  const ContrastRows student_, teacher_, queue_;
  std::optional<ContrastRows> teacher_queue_;
  PairProblem of_student_, of_teacher_;
};

}  // namespace

DistillationLosses distillation_losses(const DistillTask& problem, const OpTable& ops, const Execution& execution) {
  return DistillationPass(problem, ops, execution).losses();
}

double distillation_gradient(const DistillTask& problem, const DistillationSums& sums, std::span<const double> weights,
                             void* grad, const OpTable& ops, const Execution& execution) {
  return DistillationPass(problem, ops, execution).gradient(sums, weights, grad);
}

}  // namespace gramless
