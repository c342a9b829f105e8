// The search for the nearest rows of every row of one layer: rows are measured, tiles give candidates, float64 decides.
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

  // Rows of length 1 minus their approximate middle, for tiles of this compute type, and the memory for the candidates.
  LayerView prepare(const Execution& execution);
  void* similarities() const { return similarities_.data(); }
  std::int32_t* candidates() { return candidates_.data(); }
  // Chooses the neighbours that are certain.
  void choose(const Execution& execution);
  // How many different rows are undecided after that.
  std::int64_t left() const { return static_cast<std::int64_t>(scanned_.size()); }
  // Compares the undecided rows with all rows.
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
  // Undecided rows, only the first one of rows that are equal up to their length; and for each undecided row its number
  // among those.
  std::vector<std::int32_t> scanned_, same_as_;
};

}  // namespace gramless
