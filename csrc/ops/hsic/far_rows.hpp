// Rows that lie far from the others, as a token that all attention sinks into does: one such row moves the mean of all.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace gramless {

// Squared distances of all rows to a centre -> the rows the centre should be the mean of: all but those far away, where
// these move it by as much as the others are apart. Empty: the mean of all rows will do.
std::vector<std::int64_t> rows_near(std::span<const double> norms);

// Rows are apart where they are so long that the square of |x_i|^2 outweighs the covariance of the others, of d
// features: in feature space their share of an HSIC is lost in what is subtracted. What the squared lengths of the
// others sum to, or none where no row is apart.
std::optional<double> norms_beside_rows_apart(std::span<const double> norms, std::int64_t features);

}  // namespace gramless
