#include "ops/hsic/row_units.hpp"

#include <algorithm>
#include <cmath>

#include "ops/dispatch/visit_rows.hpp"
#include "ops/hsic/chained_sum.hpp"
#include "ops/hsic/column_means.hpp"

namespace gramless {
namespace {

struct Factor {
  double value, rest;  // rest: the rounding error of the value
};

// The sum of squares and its rounding error.
template <class Term>
Factor sum_of_squares(std::int64_t count, Term term) {
  constexpr int chains = 8;
  double sums[chains] = {}, rests[chains] = {};
  const auto add = [&](int c, double square, double rest) {
    const double sum = sums[c] + square, added = sum - sums[c];
    rests[c] += rest + ((sums[c] - (sum - added)) + (square - added));
    sums[c] = sum;
  };
  for (std::int64_t first = 0; first < count; first += chains)
    for (int c = 0; c < std::min<std::int64_t>(chains, count - first); c++) {
      const double value = term(first + c), square = value * value;
      add(c, square, std::fma(value, value, -square));
    }
  for (int c = 1; c < chains; c++) add(0, sums[c], rests[c]);
  return {sums[0], rests[0]};
}

// The factor of a row, from the squares of (value - mean) unit; in float32 without its rest.
template <class Values>
Factor factor_of(std::int64_t cols, double mean, double unit, Compute compute, Values value_at) {
  const auto term = [&](std::int64_t k) { return (value_at(k) - mean) * unit; };
  if (compute == Compute::float32)
    return {unit / std::sqrt(chained_sum(cols, [&](std::int64_t k) { return term(k) * term(k); })), 0};
  const Factor squares = sum_of_squares(cols, term);
  const double factor = 1 / std::sqrt(squares.value), square = factor * factor, product = squares.value * square;
  const double of_rests = std::fma(squares.value, square, -product) + squares.rest * square +
                          squares.value * std::fma(factor, factor, -square);
  const double rest = factor * ((1 - product) - of_rests) / 2;  // a step of Newton's method
  return {factor * unit, std::isfinite(rest) ? rest * unit : 0};
}

}  // namespace

RowUnits::RowUnits(const ArrayView& x, RowForm form, const OpTable& ops, const Execution& execution)
    : centered_(form == RowForm::centered_unit),
      keeps_zeros_(form == RowForm::unit_or_zero),
      means_(static_cast<std::size_t>(x.rows)),
      factors_(static_cast<std::size_t>(x.rows)),
      rests_(static_cast<std::size_t>(x.rows)),
      origin_(static_cast<std::size_t>(x.cols)) {
  for_rows_of(x, execution, [&](std::int64_t row) { measure(x, row, execution.compute); });
  // An approximate mean is enough, for the rows are centred again later.
  ArrayView some = x;
  some.unit = rows();
  some.rows = std::min<std::int64_t>(x.rows, 256);
  origin_ = column_means(some, ops, execution);
}

void RowUnits::measure(const ArrayView& x, std::int64_t row, Compute compute) {
  visit_row(x, row, [&](auto value_at) {
    const double mean = centered_ ? chained_sum(x.cols, value_at) / static_cast<double>(x.cols) : 0.0;
    Factor factor = factor_of(x.cols, mean, 1.0, compute, value_at);
    if (!(factor.value > 0x1p-400 && factor.value < 0x1p400)) {  // squares may leave the range of float64
      double largest = 0;
      for (std::int64_t k = 0; k < x.cols; k++) largest = std::max(largest, std::abs(value_at(k) - mean));
      const int exponent = largest > 0 && std::isfinite(largest) ? std::max(std::ilogb(largest), -1000) : 0;
      factor = factor_of(x.cols, mean, std::ldexp(1.0, -exponent), compute, value_at);
      if (keeps_zeros_ && std::isinf(factor.value)) factor = {};
    }
    means_[static_cast<std::size_t>(row)] = mean;
    factors_[static_cast<std::size_t>(row)] = factor.value;
    rests_[static_cast<std::size_t>(row)] = factor.rest;
  });
}

void RowUnits::finish_gradient(const ArrayView& x, void* gradient, const Execution& execution) const {
  for_rows_of(x, execution, [&](std::int64_t row) {
    if (execution.compute == Compute::float32)
      finish_row(x, row, static_cast<float*>(gradient) + row * x.cols);
    else
      finish_row(x, row, static_cast<double*>(gradient) + row * x.cols);
  });
}

// (g - <g, u> u) factor of u = (x - mean) factor, and, where rows are centred, without the mean of g.
template <class T>
void RowUnits::finish_row(const ArrayView& x, std::int64_t row, T* gradient) const {
  const double mean = means_[static_cast<std::size_t>(row)], factor = factors_[static_cast<std::size_t>(row)];
  visit_row(x, row, [&](auto value_at) {
    const auto own = [&](std::int64_t k) { return static_cast<double>(gradient[k]); };
    const auto unit = [&](std::int64_t k) { return (value_at(k) - mean) * factor; };
    const double along = chained_sum(x.cols, [&](std::int64_t k) { return own(k) * unit(k); });
    const double own_mean = centered_ ? chained_sum(x.cols, own) / static_cast<double>(x.cols) : 0.0;
    for (std::int64_t k = 0; k < x.cols; k++)
      gradient[k] = static_cast<T>((own(k) - own_mean - along * unit(k)) * factor);
  });
}

}  // namespace gramless
