// Similarity distillation (SEED): a student's softmax over the rows of a queue follows its teacher's.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "ops/dispatch/op_table.hpp"

namespace gramless {

struct DistillationProblem {
  ArrayView student, teacher;              // (n, d), (n, e)
  ArrayView queue;                         // (m, d)
  std::optional<ArrayView> teacher_queue;  // (m, e); none: the student's, d = e
  double temperature = 0.2, teacher_temperature = 0.01;
  bool normalize = true;
};

// What the backward pass needs of each row, (n): see TeacherSums.
struct DistillationSums {
  std::vector<double> student_shift, student, teacher_shift, teacher;
};

struct DistillationLosses {
  std::vector<double> losses;  // (n): -sum_j p_ij log q_ij
  DistillationSums sums;
};

DistillationLosses distillation_losses(const DistillationProblem& problem, const OpTable& ops,
                                       const Execution& execution);

// The gradient of sum_i weights_i loss_i by the student, into `grad` (n, d) of the compute type; returns that by the
// temperature.
double distillation_gradient(const DistillationProblem& problem, const DistillationSums& sums,
                             std::span<const double> weights, void* grad, const OpTable& ops,
                             const Execution& execution);

}  // namespace gramless
