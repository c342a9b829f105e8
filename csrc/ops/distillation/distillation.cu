// Similarity distillation on the device, forward and backward: the CUDA twin of distillation.cpp.
#include <cmath>
#include <optional>

#include "ops/contrast/contrast_coefficients.cuh"
#include "ops/dispatch/check_matrix.hpp"
#include "ops/distillation/distill_grad.cuh"

namespace gramless::cuda {
namespace {

// The coefficients of each row for the backward; those of padding are 0.
template <class T>
__global__ void coefficients_of(TeacherSums sums, AnchorWeights weights, std::int64_t padded_rows,
                                const double* gradient_scale, DeviceTeacherCoefficients<T> out) {
  const std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i >= padded_rows) return;
  const bool exists = i < weights.rows;
  const double weight = exists ? weights.of(i) * *gradient_scale : 0;
  out.student_shift[i] = exists ? static_cast<T>(sums.student_shift[i]) : T(0);
  out.student_factor[i] = exists ? static_cast<T>(weight / sums.student[i]) : T(0);
  out.teacher_shift[i] = exists ? static_cast<T>(sums.teacher_shift[i]) : T(0);
  out.teacher_factor[i] = exists ? static_cast<T>(weight / sums.teacher[i]) : T(0);
}

// The sums that the backward needs from the forward, and the cross sums, which it does not need.
TeacherSums sums_of(double* saved, std::int64_t rows, double* cross) {
  return {saved, saved + rows, saved + 2 * rows, saved + 3 * rows, cross};
}

ContrastSide side_of(const Matrix& x) {
  ContrastSide side;
  side.parts[0] = x;
  side.part_count = 1;
  return side;
}

// Student and teacher, packed, and their pairs with their keys.
template <class Operand>
class DistillationPass {
 public:
  DistillationPass(const DistillTask& task, DeviceLayout& layout)
      : task_(task),
        student_(side_of(task.student), false, layout),
        teacher_(side_of(task.teacher), false, layout),
        queue_(side_of(task.queue), false, layout) {
    const bool own_queue = task.teacher_queue.data != nullptr;
    if (own_queue || measured())  // rows that are not normalised are scaled by their largest element
      teacher_queue_.emplace(side_of(own_queue ? task.teacher_queue : task.queue), false, layout);
    scales_ = layout.take<LogitScales>(2);
  }

  void pack(LaunchStream& launches) const {
    choose_scale(student_, queue_, task_.temperature, task_.device_temperature, scales_, launches);
    choose_scale(teacher_, teacher_keys(), task_.teacher_temperature, nullptr, scales_ + 1, launches);
    student_.pack(task_.normalize, &scales_[0].row, launches);
    queue_.pack(task_.normalize, &scales_[0].row, launches);
    teacher_.pack(task_.normalize, &scales_[1].row, launches);
    if (teacher_queue_) teacher_queue_->pack(task_.normalize, &scales_[1].row, launches);
  }

  DistillPairs<Operand> pairs() const {
    return {{student_.rows(), queue_.rows(), false, false, nullptr, nullptr, scales_},
            {teacher_.rows(), teacher_keys().rows(), false, false, nullptr, nullptr, scales_ + 1}};
  }

  const DeviceContrastRows<Operand>& student() const { return student_; }
  const LogitScales* student_scales() const { return scales_; }

 private:
  bool measured() const { return is_scaled<Operand> && !task_.normalize; }
  const DeviceContrastRows<Operand>& teacher_keys() const { return teacher_queue_ ? *teacher_queue_ : queue_; }

  // Shifts are always running, so neither how many pairs there are nor the range of the exponential matters.
  void choose_scale(const DeviceContrastRows<Operand>& rows, const DeviceContrastRows<Operand>& keys,
                    double temperature, const double* device_temperature, LogitScales* scales,
                    LaunchStream& launches) const {
    if (measured()) {
      rows.find_largest(launches);
      keys.find_largest(launches);
    }
    choose_scales({measured() ? rows.largest() : nullptr, keys.largest(), rows.rows().count, keys.rows().count,
                   is_scaled<Operand>, temperature, device_temperature, false, 0, 0},
                  scales, launches);
  }

  DistillTask task_;
  DeviceContrastRows<Operand> student_, teacher_, queue_;
  std::optional<DeviceContrastRows<Operand>> teacher_queue_;
  LogitScales* scales_;  // (2) of student and teacher
};

template <class Operand>
class DistillForward {
 public:
  explicit DistillForward(const DistillForwardTask& task, void* scratch = nullptr)
      : task_(task), layout_(scratch), pass_(task.problem, layout_), sums_(rows(), task.problem.queue.rows, layout_) {
    cross_ = layout_.take<double>(rows());
  }

  std::size_t bytes() const { return layout_.bytes(); }

  const char* run(void* stream) const {
    LaunchStream launches(stream);
    pass_.pack(launches);
    sums_.run(pass_.pairs(), sums_of(task_.saved, rows(), cross_), task_.losses, launches);
    if (task_.mean != nullptr) mean_of(task_.losses, rows(), task_.mean, launches);
    return launches.error();
  }

 private:
  std::int64_t rows() const { return task_.problem.student.rows; }

  DistillForwardTask task_;
  DeviceLayout layout_;
  DistillationPass<Operand> pass_;
  DistillSums<Operand> sums_;
  double* cross_;
};

template <class Operand>
class DistillBackward {
 public:
  using Value = typename Operand::Value;

  explicit DistillBackward(const DistillBackwardTask& task, void* scratch = nullptr)
      : task_(task),
        layout_(scratch),
        pass_(task.problem, layout_),
        grad_(rows(), task.problem.queue.rows, task.problem.student.cols, layout_) {
    gradient_scale_ = layout_.take<double>(1);
    alignments_ = layout_.take<double>(rows());
    for (Value** array : {&coefficients_.student_shift, &coefficients_.student_factor, &coefficients_.teacher_shift,
                          &coefficients_.teacher_factor})
      *array = layout_.take<Value>(padded());
  }

  std::size_t bytes() const { return layout_.bytes(); }

  const char* run(void* stream) const {
    LaunchStream launches(stream);
    const AnchorWeights weights{task_.weights, task_.scale_of_mean, rows()};
    // Read only: the tasks of the forward and the backward share a type.
    const TeacherSums sums = sums_of(const_cast<double*>(task_.saved), rows(), nullptr);
    pass_.pack(launches);
    choose_gradient_scale(weights, {}, 0, gradient_scale_, launches);
    launches.launch(coefficients_of<Value>, {static_cast<unsigned>(blocks_of(padded(), 256))}, 256, 0, sums, weights,
                    padded(), gradient_scale_, coefficients_);
    grad_.run(pass_.pairs(), coefficients_, launches);
    const Matrix& student = task_.problem.student;
    finish_gradients<Operand>(
        {pass_.student().rows().rows, 0, rows(), student.cols, padded(), grad_.strips(), grad_.partials(),
         pass_.student_scales(), gradient_scale_, task_.problem.normalize ? pass_.student().inverse_norms() : nullptr,
         task_.grad, student.dtype, alignments_},
        launches);
    if (task_.grad_temperature != nullptr)
      grad_of_temperature(alignments_, rows(), -1, pass_.student_scales(), task_.grad_temperature, launches);
    return launches.error();
  }

 private:
  std::int64_t rows() const { return task_.problem.student.rows; }
  std::int64_t padded() const { return DeviceContrastRows<Operand>::padded(rows()); }

  DistillBackwardTask task_;
  DeviceLayout layout_;
  DistillationPass<Operand> pass_;
  DistillGrad<Operand> grad_;
  double *gradient_scale_, *alignments_;
  DeviceTeacherCoefficients<Value> coefficients_;
};

// Teachers have small temperatures: normalising 16-bit rows and rounding them to 16 bits again would lose digits.
Operand operand_of(const DistillTask& task) {
  return task.student.dtype == Dtype::float64 ? Operand::float64 : Operand::split;
}

const char* error_in_distillation(const DistillTask& task) {
  const auto usable = [](double temperature) { return temperature != 0 && std::isfinite(temperature); };
  if (!usable(task.teacher_temperature) || (task.device_temperature == nullptr && !usable(task.temperature)))
    return "temperatures must be finite and not 0";
  const Matrix& teacher_queue = task.teacher_queue.data != nullptr ? task.teacher_queue : task.queue;
  for (const Matrix* x : {&task.student, &task.teacher, &task.queue, &teacher_queue}) {
    if (const char* error = error_in_matrix(*x, operand_of(task))) return error;
    if (x->dtype != task.student.dtype) return "arrays differ in dtype";
  }
  if (task.student.rows != task.teacher.rows) return "student and teacher differ in rows";
  if (task.queue.rows != teacher_queue.rows) return "the queues differ in rows";
  if (task.student.cols != task.queue.cols || task.teacher.cols != teacher_queue.cols)
    return "rows and their queue differ in width";
  return nullptr;
}

}  // namespace

std::size_t distill_forward_scratch_bytes(const DistillForwardTask& task) {
  if (error_in_distillation(task.problem) != nullptr) return 0;
  return operand_of(task.problem) == Operand::float64 ? DistillForward<DoubleOperand>(task).bytes()
                                                      : DistillForward<SplitOperand>(task).bytes();
}

const char* distill_forward(const DistillForwardTask& task, void* scratch, void* stream) {
  if (const char* error = error_in_distillation(task.problem)) return error;
  return operand_of(task.problem) == Operand::float64 ? DistillForward<DoubleOperand>(task, scratch).run(stream)
                                                      : DistillForward<SplitOperand>(task, scratch).run(stream);
}

std::size_t distill_backward_scratch_bytes(const DistillBackwardTask& task) {
  if (error_in_distillation(task.problem) != nullptr) return 0;
  return operand_of(task.problem) == Operand::float64 ? DistillBackward<DoubleOperand>(task).bytes()
                                                      : DistillBackward<SplitOperand>(task).bytes();
}

const char* distill_backward(const DistillBackwardTask& task, void* scratch, void* stream) {
  if (const char* error = error_in_distillation(task.problem)) return error;
  return operand_of(task.problem) == Operand::float64 ? DistillBackward<DoubleOperand>(task, scratch).run(stream)
                                                      : DistillBackward<SplitOperand>(task, scratch).run(stream);
}

}  // namespace gramless::cuda
