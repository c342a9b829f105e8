// One representation made ready for tiles: centre, row norms, bandwidth and shift. O(n + d) memory.
#pragma once

#include <span>
#include <vector>

#include "ops/api.hpp"
#include "ops/dispatch/op_table.hpp"
#include "ops/hsic/row_units.hpp"
#include "support/aligned_buffer.hpp"

namespace gramless {

// Squared distances of sampled pairs of rows, and their kernel values.
struct PairSample {
  std::vector<std::int64_t> pairs;  // (count, 2), those of sample_subsets
  std::vector<double> distances, values;
};

class Representation {
 public:
  Representation(const ArrayView& x, const OpTable& ops, const Execution& execution, RowForm form = RowForm::as_given);

  // Determines kernel, row_stats and shift. Returns the sampled pairs, for a kernel of distances.
  PairSample resolve(const KernelSpec& spec, const Execution& execution);
  // The same for a linear kernel in feature space, with squared lengths of rows that were measured while they were
  // packed. Returns false if these need another centre or unit, or sums over pairs of rows.
  bool resolve_linear(std::span<const double> norms);
  // Of a linear kernel: from now on centred rows sum to zero, rows far away among them.
  void center_on_all_rows(const Execution& execution);
  PairSample measured(std::vector<std::int64_t> pairs, const Execution& execution) const;
  double median_distance(bool include_diagonal, std::optional<std::int64_t> median_rows, const Execution& execution);
  double median_of_apart(bool lower, const Execution& execution);        // see ops/median/median.hpp
  double bandwidth(const KernelSpec& spec, const Execution& execution);  // resolves to itself when given as sigma
  // Memory of OpTable::layer_dots_bytes for the layer's dot products: a median of all rows leaves them there for
  // `view`.
  void keep_dots(void* room) { dots_room_ = room; }

  LayerView view() const;
  // Tiles hold kernel values as k / unit - shift + offset(i) + offset(j); diagonal(i) is this value for k(x_i, x_i).
  double diagonal(std::int64_t i) const;
  double diagonal_sum() const;  // of k(x_i, x_i) / unit - shift
  double offset(std::int64_t i) const { return offsets_.empty() ? 0.0 : offsets_[static_cast<std::size_t>(i)]; }
  double offset_mean() const;
  double unit() const { return unit_; }
  double shift() const { return shift_; }
  double sigma() const { return sigma_; }  // of a kernel of distances
  // Rows are scaled where their products would leave the compute type's range: k is the value of all of the above times
  // 2^exponent().
  int exponent() const;
  double scale() const { return x_.scale; }  // the factor of the rows
  // The share of the distances that the median leaves out because they are within rounding of 0.
  double tied() const { return tied_; }
  // The HSIC of a representation with itself, or 0 if it is within the rounding error of its terms, of the given mean
  // square: the HSIC of a representation without variation must not be noise to divide by. value_square: see
  // `value_square`.
  double beyond_rounding(double hsic, double mean_square, double value_square) const;
  // Approximately the mean of k^2 / unit^2 over pairs i != j, from the means of the tiles' values and of their squares.
  double value_square(double mean, double mean_square) const;
  const std::vector<double>& norms() const { return norms_; }
  const OpTable& ops() const { return *ops_; }
  Compute compute() const { return compute_; }
  bool in_float32() const { return compute_ == Compute::float32; }
  std::int64_t rows() const { return x_.rows; }
  std::int64_t cols() const { return x_.cols; }
  const RowUnits& units() const { return units_; }                                           // of a kernel of unit rows
  double row_term(std::int64_t i) const { return row_terms_[static_cast<std::size_t>(i)]; }  // of a polynomial
  // Of a polynomial: how far a rounding of 1 of the product of two rows' lengths moves the value of that pair.
  double moved_by_product(const PairSample& sample, std::size_t pair) const;
  bool on_mean() const { return near_rows_.empty(); }  // whether centred rows sum to zero

 private:
  LayerView centered() const;
  void center_on_mean(const ArrayView& rows, const Execution& execution);
  template <class T>
  void store_centers(const std::vector<double>& means, const Execution& execution);
  AlignedBuffer padded_norms(double scale = 1.0) const;  // (n) in the compute type, followed by the offsets
  void set_offsets();
  void measure_norms(decltype(OpTable::tile_norms) OpTable::* norms_of, const Execution& execution);
  void measure_norms_in_range(decltype(OpTable::tile_norms) OpTable::* norms_of, const Execution& execution);
  bool norms_in_range() const;
  void center(const Execution& execution);
  void rescale(const Execution& execution);
  double mean_product_of_pairs() const;
  template <class Alternative>
  PairSample resolve_of_distance(const Alternative& stated, double sigma, const Execution& execution);
  PairSample resolve_power(Distance kernel, const Execution& execution);
  PairSample resolve_polynomial(Polynomial kernel, const Execution& execution);
  double multiply_with_center(const Execution& execution);
  struct Operands {
    double dot, row, column;
  };
  Operands operands(const PairSample& sample, std::size_t pair) const;
  double own_value(std::int64_t i) const;
  double noise() const;
  bool directions_differ() const;

  ArrayView x_;
  RowUnits units_;
  const OpTable* ops_;
  Compute compute_;
  AlignedBuffer center_high_, center_low_, row_stats_;
  std::vector<double> norms_;            // |x_i - centre|^2
  std::vector<double> offsets_;          // as tiles have them; none: all are 0
  std::vector<std::int64_t> near_rows_;  // whose mean is the centre; none: that of all rows
  std::vector<double> row_terms_;        // of a polynomial: its t of each row
  Kernel kernel_ = Linear{};
  double unit_ = 1, shift_ = 0, tied_ = 0, sigma_ = 0;
  void *dots_room_ = nullptr, *dots_ = nullptr;
};

}  // namespace gramless
