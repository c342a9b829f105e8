// One layer on its way to the nearest rows of every row: measured, then candidates from tiles, then what is exact.
#pragma once

#include <cstdint>
#include <vector>

#include "ops/dispatch/op_table.hpp"
#include "support/aligned_buffer.hpp"

namespace gramless {

class NeighborLayer {
 public:
  NeighborLayer(const ArrayView& x, std::int64_t k, const OpTable& ops, const Execution& execution);

  bool finite() const { return finite_; }
  std::int64_t kept() const { return kept_; }  // candidates of a row

  // Rows of length 1 less one of their middle, for tiles of this compute type, and room for their answer.
  LayerView prepare(const Execution& execution);
  void* similarities() const { return similarities_.data(); }
  std::int32_t* candidates() { return candidates_.data(); }
  // What is certain of the answer becomes neighbours.
  void choose(const Execution& execution);
  // How many different rows are then left to compare.
  std::int64_t left() const { return static_cast<std::int64_t>(scanned_.size()); }
  // Compares those with all rows.
  void scan(const Execution& execution);

  std::vector<std::int32_t> take_nearest() { return std::move(nearest_); }  // (n, k)
  std::vector<double> cosines(const Execution& execution) const;            // of those

 private:
  ScaledRows scaled() const { return {x_, powers_.data(), squares_.data()}; }
  double noise(Compute compute) const;
  void group_equal_rows();
  void store_nearest(std::int64_t row, const std::int32_t* found);

  ArrayView x_;
  const OpTable& ops_;
  std::int64_t k_, kept_;
  bool finite_ = true, zeros_ = false;
  std::vector<double> powers_, squares_, factors_, origin_;
  std::vector<double> means_;  // zeros, of rows that are not centred; also what rounding left of their factors
  double largest_square_ = 0;  // of rows less the middle
  AlignedBuffer center_, terms_, similarities_;
  std::vector<std::int32_t> candidates_, nearest_;
  std::vector<char> undecided_;
  // Undecided rows, of rows that are equal but for their length the first; for each undecided row which of those it is.
  std::vector<std::int32_t> scanned_, same_as_;
};

}  // namespace gramless
