// The contrastive losses on the device, forward and backward: the CUDA twin of contrast.cpp.
#include <cmath>
#include <optional>

#include "ops/contrast/contrast_pass.cuh"
#include "ops/contrast/hardest_limits.cuh"
#include "ops/dispatch/visit_operand.cuh"

namespace gramless::cuda {
namespace {

constexpr std::int64_t limits_array = 5;  // index in the saved arrays, after the sums

template <class Operand>
class ContrastForward {
 public:
  explicit ContrastForward(const ContrastForwardTask& task, void* scratch = nullptr)
      : task_(task),
        layout_(scratch),
        pass_(task.problem, layout_),
        of_anchors_(pass_.anchors(), pass_.keys(), !pass_.has_keys(), task.problem.stored_bytes,
                    task.problem.busy_blocks, layout_),
        of_keys_(two_way() ? pass_.keys() : 1, pass_.anchors(), false, 0, task.problem.busy_blocks, layout_) {
    if (task.problem.hardest > 0)
      hardest_.emplace(pass_.anchors(), pass_.keys(), two_way(), task.problem.stored_bytes, layout_);
  }

  std::size_t bytes() const { return layout_.bytes(); }

  const char* run(void* stream) const {
    LaunchStream launches(stream);
    const std::int64_t anchors = pass_.anchors();
    const AnchorLoss loss = loss_of(task_.problem);
    pass_.pack(launches);
    // Sums are added to it; and opcheck compares every element, so elements that no kernel writes are zeroed.
    launches.clear(task_.saved, static_cast<std::size_t>(contrast_saved_arrays * pass_.saved_rows()) * sizeof(double));
    const double* const limits = find_limits(launches);
    const DeviceAnchorSums sums = DeviceAnchorSums::of(task_.saved, pass_.saved_rows(), 0);
    of_anchors_.run(pass_.pairs(false, limits), sums, launches);
    measure_losses(sums, anchors, loss, task_.losses, launches);
    if (two_way()) {
      const DeviceAnchorSums key_sums = DeviceAnchorSums::of(task_.saved, pass_.saved_rows(), anchors);
      of_keys_.run(pass_.pairs(true, limits), key_sums, launches);
      measure_losses(key_sums, pass_.keys(), loss, task_.losses + anchors, launches);
    }
    if (task_.mean != nullptr) mean_of(task_.losses, anchors, task_.mean, launches);
    return launches.error();
  }

 private:
  bool two_way() const { return pass_.has_keys() && task_.problem.keys_are_anchors; }

  // Returns null if no negative is left out.
  const double* find_limits(LaunchStream& launches) const {
    if (!pass_.limited()) return nullptr;
    double* const limits = task_.saved + limits_array * pass_.saved_rows();
    fill_limits(pass_.pairs(false, nullptr), task_.problem.limit, limits, pass_.saved_rows(), launches);
    if (!hardest_) return limits;
    const HardestNegatives which{task_.problem.hardest, task_.problem.tie};
    hardest_->run(pass_.pairs(false, nullptr), pass_.anchors(), which, limits, launches);
    if (two_way())  // keys of later parts are a queue, not anchors
      hardest_->run(pass_.pairs(true, nullptr), task_.problem.keys.parts[0].rows, which, limits + pass_.anchors(),
                    launches);
    return limits;
  }

  ContrastForwardTask task_;
  DeviceLayout layout_;
  ContrastPass<Operand> pass_;
  SoftmaxSums<Operand> of_anchors_, of_keys_;
  std::optional<HardestLimits<Operand>> hardest_;
};

template <class Operand>
class ContrastBackward {
 public:
  using Value = typename Operand::Value;

  explicit ContrastBackward(const ContrastBackwardTask& task, void* scratch = nullptr)
      : task_(task),
        layout_(scratch),
        pass_(task.problem, layout_),
        of_anchors_(pass_.anchors(), pass_.keys(), width(), task.problem.busy_blocks, layout_),
        of_keys_(keys_wanted() ? pass_.keys() : 1, pass_.anchors(), width(), task.problem.busy_blocks, layout_) {
    gradient_scale_ = layout_.take<double>(1);
    alignments_ = layout_.take<double>(pass_.anchors() > pass_.keys() ? pass_.anchors() : pass_.keys());
    for (const bool of_keys : {false, true}) {
      const std::int64_t rows = padded(of_keys);
      for (Value** array : arrays_of(coefficients_[of_keys])) *array = layout_.take<Value>(rows);
    }
  }

  std::size_t bytes() const { return layout_.bytes(); }

  const char* run(void* stream) const {
    LaunchStream launches(stream);
    pass_.pack(launches);
    choose_gradient_scale(weights(false), weights(true), rows_of(task_.problem.keys), gradient_scale_, launches);
    fill(false, launches);
    if (pass_.has_keys()) fill(true, launches);
    const auto &anchors = coefficients_[0], &keys = coefficients_[pass_.has_keys()];
    of_anchors_.run(pass_.pairs(false, limits()), anchors, keys, launches);
    finish(false, of_anchors_, launches);
    if (task_.grad_temperature != nullptr)  // symmetric pairs were differentiated by both of their rows
      grad_of_temperature(alignments_, pass_.anchors(), pass_.has_keys() ? -1 : -0.5, pass_.scales(),
                          task_.grad_temperature, launches);
    if (keys_wanted()) {
      of_keys_.run(pass_.pairs(true, limits()), keys, anchors, launches);
      finish(true, of_keys_, launches);
    }
    return launches.error();
  }

 private:
  struct Arrays {
    Value** arrays[6];
    Value*** begin() { return arrays; }
    Value*** end() { return arrays + 6; }
  };
  static Arrays arrays_of(DeviceCoefficients<Value>& c) {
    return {{&c.shift, &c.negative, &c.positive, &c.positive_mean, &c.positive_offset, &c.limit}};
  }

  std::int64_t width() const { return task_.problem.anchors.parts[0].cols; }
  std::int64_t padded(bool of_keys) const {
    return DeviceContrastRows<Operand>::padded(of_keys ? pass_.keys() : pass_.anchors());
  }
  bool keys_wanted() const {
    bool wanted = false;
    for (int p = 0; p < task_.problem.keys.part_count; p++)
      wanted = wanted || task_.grads[task_.problem.anchors.part_count + p] != nullptr;
    return wanted;
  }

  AnchorWeights weights(bool of_keys) const {
    if (!of_keys) return {task_.weights, task_.scale_of_mean, pass_.anchors()};
    const bool counted = task_.problem.keys_are_anchors && task_.scale_of_mean == nullptr;
    return {counted ? task_.weights + pass_.anchors() : nullptr, nullptr, pass_.keys()};
  }

  const double* limits() const { return pass_.limited() ? task_.saved + limits_array * pass_.saved_rows() : nullptr; }

  void fill(bool of_keys, LaunchStream& launches) const {
    // Only read: the tasks of the forward and the backward share a type.
    double* const saved = const_cast<double*>(task_.saved);
    fill_coefficients(DeviceAnchorSums::of(saved, pass_.saved_rows(), of_keys ? pass_.anchors() : 0),
                      of_keys ? pass_.keys() : pass_.anchors(), padded(of_keys), loss_of(task_.problem),
                      weights(of_keys), pass_.pairs(of_keys, limits()).row_limits, gradient_scale_,
                      coefficients_[of_keys], launches);
  }

  void finish(bool of_keys, const SoftmaxGrad<Operand>& gradients, LaunchStream& launches) const {
    const ContrastSide& side = of_keys ? task_.problem.keys : task_.problem.anchors;
    std::int64_t first = 0;
    for (int p = 0; p < side.part_count; p++) {
      finish_gradients<Operand>(
          {pass_.side(of_keys).rows().rows, first, side.parts[p].rows, width(), padded(of_keys), gradients.strips(),
           gradients.partials(), pass_.scales(), gradient_scale_,
           task_.problem.normalize ? pass_.side(of_keys).inverse_norms() : nullptr,
           task_.grads[(of_keys ? task_.problem.anchors.part_count : 0) + p], side.parts[p].dtype, alignments_},
          launches);
      first += side.parts[p].rows;
    }
  }

  ContrastBackwardTask task_;
  DeviceLayout layout_;
  ContrastPass<Operand> pass_;
  SoftmaxGrad<Operand> of_anchors_, of_keys_;
  double *gradient_scale_, *alignments_;
  DeviceCoefficients<Value> coefficients_[2];  // of anchors, of keys
};

const char* error_in_contrast(const ContrastTask& task) {
  if (task.operand == Operand::tf32) return "contrastive losses have no TF32";
  if (task.device_temperature == nullptr && (task.temperature == 0 || !std::isfinite(task.temperature)))
    return "temperature must be finite and not 0";
  if (task.anchors.part_count < 1) return "there are no anchors";
  const Matrix& first = task.anchors.parts[0];
  for (const ContrastSide* side : {&task.anchors, &task.keys})
    for (int p = 0; p < side->part_count; p++) {
      const Matrix& part = side->parts[p];
      if (const char* error = error_in_matrix(part, task.operand)) return error;
      if (part.cols != first.cols) return "anchors and keys differ in width";
      if (part.dtype != first.dtype) return "anchors and keys differ in dtype";
    }
  return nullptr;
}

}  // namespace

std::size_t contrast_forward_scratch_bytes(const ContrastForwardTask& task) {
  if (error_in_contrast(task.problem) != nullptr) return 0;
  return visit_operand_without_tf32(task.problem.operand,
                                    [&]<class Operand>() { return ContrastForward<Operand>(task).bytes(); });
}

const char* contrast_forward(const ContrastForwardTask& task, void* scratch, void* stream) {
  if (const char* error = error_in_contrast(task.problem)) return error;
  return visit_operand_without_tf32(
      task.problem.operand, [&]<class Operand>() { return ContrastForward<Operand>(task, scratch).run(stream); });
}

std::size_t contrast_backward_scratch_bytes(const ContrastBackwardTask& task) {
  if (error_in_contrast(task.problem) != nullptr) return 0;
  return visit_operand_without_tf32(task.problem.operand,
                                    [&]<class Operand>() { return ContrastBackward<Operand>(task).bytes(); });
}

const char* contrast_backward(const ContrastBackwardTask& task, void* scratch, void* stream) {
  if (const char* error = error_in_contrast(task.problem)) return error;
  return visit_operand_without_tf32(
      task.problem.operand, [&]<class Operand>() { return ContrastBackward<Operand>(task, scratch).run(stream); });
}

}  // namespace gramless::cuda
