// The sums that a forward saves for its backward, as one array of numbers, (arrays, rows).
#pragma once

#include <algorithm>
#include <cstddef>

namespace gramless {

// Sums::arrays() are its vectors, all of one length, in the order in which they are saved.
template <class Sums>
void write_arrays(const Sums& sums, double* to) {
  for (const auto array : Sums::arrays()) to = std::ranges::copy(sums.*array, to).out;
}

template <class Sums>
Sums read_arrays(const double* from, std::size_t rows) {
  Sums sums;
  for (const auto array : Sums::arrays()) {
    (sums.*array).assign(from, from + rows);
    from += rows;
  }
  return sums;
}

}  // namespace gramless
