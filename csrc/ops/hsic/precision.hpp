// The arithmetic in which a representation keeps its digits: float32 tiles where that is enough, else float64.
#pragma once

#include "ops/hsic/hsic.hpp"

namespace gramless {

// Few rows are computed in float64, whatever their dtype.
Execution for_rows(std::int64_t rows, Execution execution);
// Whether float32 products of few and wide rows leave fewer than six digits of a linear HSIC.
bool loses_digits_of_products(std::int64_t rows, std::int64_t cols);
// Whether float64 has enough digits for a linear HSIC over features where float32 has too few: where some rows are
// longer than the others and move the mean, large squares of lengths are subtracted. `inputs`: a result has its digits.
bool has_digits_in_float64(const Representation& layer, Compute inputs);
// The representation, resolved in that arithmetic. dots_room: see `Representation::keep_dots`, or null.
Representation resolved(const LayerInput& input, const OpTable& ops, const Execution& execution,
                        void* dots_room = nullptr);
// The same in float64, with the bandwidth already found.
Representation in_float64(const Representation& layer, const LayerInput& input, const OpTable& ops,
                          const Execution& execution);

// The median distance, not its square, and the share of the distances that were left out.
struct MedianDistance {
  double distance, tied;
};
MedianDistance median_of_rows(const ArrayView& x, bool include_diagonal, const OpTable& ops,
                              const Execution& execution);
double median_of_rows_apart(const ArrayView& x, bool lower, const OpTable& ops, const Execution& execution);

}  // namespace gramless
