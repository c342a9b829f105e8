// The common start of the forward and the backward of a contrastive loss: packs rows and defines which pairs they form.
#pragma once

#include <cmath>

#include "ops/contrast/contrast_coefficients.cuh"
#include "ops/dispatch/check_matrix.hpp"

namespace gramless::cuda {

inline AnchorLoss loss_of(const ContrastTask& task) {
  return {task.kind != ContrastKind::log_sum_exp, task.kind == ContrastKind::decoupled};
}

// Anchors and keys, packed; without keys the anchors are both.
template <class Operand>
class ContrastPass {
 public:
  ContrastPass(const ContrastTask& task, DeviceLayout& layout)
      : task_(task), anchors_(task.anchors, positives(), layout), keys_(other_side(), positives(), layout) {
    scales_ = layout.take<LogitScales>(1);
  }

  void pack(LaunchStream& launches) const {
    const bool measured = is_scaled<Operand> && !task_.normalize;
    if (measured) {
      anchors_.find_largest(launches);
      if (has_keys()) keys_.find_largest(launches);
    }
    const std::int64_t most = anchors() > keys() ? anchors() : keys();
    choose_scales({measured ? anchors_.largest() : nullptr, keys_.largest(), anchors(), has_keys() ? keys() : 0,
                   is_scaled<Operand>, task_.temperature, task_.device_temperature, task_.normalize,
                   std::log(static_cast<double>(most)), std::is_same_v<typename Operand::Value, double> ? 700.0 : 85.0},
                  scales_, launches);
    anchors_.pack(task_.normalize, &scales_->row, launches);
    if (has_keys()) keys_.pack(task_.normalize, &scales_->row, launches);
  }

  // Rows against columns: anchors against keys, or `turned`. limits (anchors and keys): of dot products of packed rows;
  // null: no negative is left out.
  DevicePairs<Operand> pairs(bool turned, const double* limits) const {
    const SideRows<Operand> rows = side(turned).rows(), columns = side(has_keys() ? !turned : turned).rows();
    const double* const of_keys = limits != nullptr && has_keys() ? limits + anchors() : limits;
    return {rows,
            columns,
            !has_keys(),
            task_.kind == ContrastKind::softmax,
            turned ? of_keys : limits,
            turned ? limits : of_keys,
            scales_};
  }

  bool limited() const { return task_.limit < INFINITY || task_.hardest > 0; }

  const DeviceContrastRows<Operand>& side(bool of_keys) const { return of_keys ? keys_ : anchors_; }
  const LogitScales* scales() const { return scales_; }
  bool has_keys() const { return task_.keys.part_count > 0; }
  std::int64_t anchors() const { return rows_of(task_.anchors); }
  std::int64_t keys() const { return has_keys() ? rows_of(task_.keys) : anchors(); }
  std::int64_t saved_rows() const { return anchors() + rows_of(task_.keys); }

 private:
  bool positives() const { return task_.kind != ContrastKind::log_sum_exp; }
  // Without keys, a side of one row that is never packed.
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
  LogitScales* scales_;
};

}  // namespace gramless::cuda
