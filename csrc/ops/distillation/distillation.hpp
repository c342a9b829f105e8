// Similarity distillation (SEED): the cross entropy of a student's softmax over a queue with its teacher's.
#pragma once

#include <array>
#include <span>
#include <vector>

#include "ops/api.hpp"
#include "ops/dispatch/op_table.hpp"

namespace gramless {

// Each row's sums that the backward pass needs, (n): see TeacherSums.
struct DistillationSums {
  std::vector<double> student_shift, student, teacher_shift, teacher;

  static constexpr auto arrays() {
    return std::array{&DistillationSums::student_shift, &DistillationSums::student, &DistillationSums::teacher_shift,
                      &DistillationSums::teacher};
  }
};

struct DistillationLosses {
  std::vector<double> losses;  // (n): -sum_j p_ij log q_ij
  DistillationSums sums;
};

DistillationLosses distillation_losses(const DistillTask& problem, const OpTable& ops, const Execution& execution);

// Writes the gradient of sum_i weights_i loss_i with respect to the student to `grad` (n, d) of the compute type;
// returns the one with respect to the temperature.
double distillation_gradient(const DistillTask& problem, const DistillationSums& sums, std::span<const double> weights,
                             void* grad, const OpTable& ops, const Execution& execution);

}  // namespace gramless
