// What both directions of a contrastive loss do first: rows packed, and how pairs of them are met.
#pragma once

#include <cmath>

#include "ops/contrast_coefficients.cuh"
#include "ops/matrices.hpp"

namespace gramless::cuda {

// A shift of all anchors under which no exponential of a unit row's logit leaves float's normal numbers, nor any sum of
// them; none where the temperature is too small for that.
struct Shift {
  double value = 0;
  bool running = true;
};
inline Shift choose_shift(const ContrastTask& task, std::int64_t pairs) {
  const double highest = task.operand == Operand::float64 ? 700 : 85, largest_logit = 1 / std::abs(task.temperature);
  const double value = std::fmax(0.0, largest_logit + std::log(static_cast<double>(pairs)) - 0.7 * highest);
  if (!task.normalize || !(largest_logit + value <= highest)) return {};
  return {value, false};
}

inline AnchorLoss loss_of(const ContrastTask& task) {
  return {task.kind != ContrastKind::log_sum_exp, task.kind == ContrastKind::decoupled};
}

// Anchors and keys, packed; without keys the anchors are both.
template <class Operand>
class ContrastPass {
 public:
  ContrastPass(const ContrastTask& task, DeviceLayout& layout)
      : task_(task), anchors_(task.anchors, positives(), layout), keys_(other_side(), positives(), layout) {
    row_scale_ = layout.take<double>(1);
  }

  void pack(Queue& queue) const {
    const bool measured = is_scaled<Operand> && !task_.normalize;
    if (measured) {
      anchors_.find_largest(queue);
      if (has_keys()) keys_.find_largest(queue);
    }
    choose_row_scale(measured ? anchors_.largest() : nullptr, anchors(), keys_.largest(), has_keys() ? keys() : 0,
                     is_scaled<Operand>, row_scale_, queue);
    anchors_.pack(task_.normalize, row_scale_, queue);
    if (has_keys()) keys_.pack(task_.normalize, row_scale_, queue);
  }

  // Rows against columns: anchors against keys, or `turned`.
  DevicePairs<Operand> pairs(bool turned) const {
    const PairRows<Operand> rows = side(turned).rows(), columns = side(has_keys() ? !turned : turned).rows();
    const Shift shift = choose_shift(task_, anchors() > keys() ? anchors() : keys());
    return {rows,
            columns,
            !has_keys(),
            1 / task_.temperature,
            shift.value,
            shift.running,
            task_.kind == ContrastKind::softmax,
            task_.limit,
            row_scale_};
  }

  const DeviceContrastRows<Operand>& side(bool of_keys) const { return of_keys ? keys_ : anchors_; }
  const double* row_scale() const { return row_scale_; }
  bool has_keys() const { return task_.keys.part_count > 0; }
  std::int64_t anchors() const { return rows_of(task_.anchors); }
  std::int64_t keys() const { return has_keys() ? rows_of(task_.keys) : anchors(); }
  std::int64_t saved_rows() const { return anchors() + rows_of(task_.keys); }

 private:
  bool positives() const { return task_.kind != ContrastKind::log_sum_exp; }
  // One row that is never packed where there are no keys.
  ContrastSide other_side() const {
    if (has_keys()) return task_.keys;
    ContrastSide none;
    none.part_count = 1;
    none.parts[0] = task_.anchors.parts[0];
    none.parts[0].rows = 1;
    return none;
  }

  ContrastTask task_;
  DeviceContrastRows<Operand> anchors_, keys_;
  double* row_scale_;
};

}  // namespace gramless::cuda
