// Rows scaled to length 1, for kernels of the cosine: O(n + d) numbers with which packing scales them.
#pragma once

#include <vector>

#include "ops/api.hpp"
#include "ops/dispatch/op_table.hpp"

namespace gramless {

class RowUnits {
 public:
  RowUnits() = default;
  // With RowForm::centered_unit the mean of each row is subtracted first. Rows of zeros become NaN, except with
  // RowForm::unit_or_zero.
  RowUnits(const ArrayView& x, RowForm form, const OpTable& ops, const Execution& execution);

  explicit operator bool() const { return !factors_.empty(); }
  UnitRows rows() const { return {means_.data(), factors_.data(), rests_.data(), origin_.data()}; }

  // Turns derivatives with respect to the rows of length 1, (rows, cols) contiguous, into those with respect to the
  // rows of x.
  void finish_gradient(const ArrayView& x, void* gradient, const Execution& execution) const;

 private:
  void measure(const ArrayView& x, std::int64_t row, Compute compute);
  template <class T>
  void finish_row(const ArrayView& x, std::int64_t row, T* gradient) const;

  bool centered_ = false, keeps_zeros_ = false;
  std::vector<double> means_, factors_, rests_, origin_;
};

}  // namespace gramless
