// The units of the rounding errors of kernel values.
#pragma once

namespace gramless {

// Of centred rows: the mean of |a|^2, and the root mean of (|a| |b|)^2 over pairs of different rows.
struct SquaredLengths {
  double mean, of_pairs;
};

}  // namespace gramless
