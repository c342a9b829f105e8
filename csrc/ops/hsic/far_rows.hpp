// Rows far from all others, such as attention-sink tokens: a single one moves the mean of all rows.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace gramless {

// From squared distances of all rows to a centre, the rows whose mean should be the centre: all but those far away, if
// these move the mean by as much as the others are apart. Empty: the mean of all rows.
std::vector<std::int64_t> rows_near(std::span<const double> norms);

// Rows are apart if they are so long that the square of |x_i|^2 outweighs the covariance of the others, of d features:
// in feature space the others' share of an HSIC is then lost to cancellation. Returns the sum of the others' squared
// lengths, or nullopt if no row is apart.
std::optional<double> norms_beside_rows_apart(std::span<const double> norms, std::int64_t features);

}  // namespace gramless
