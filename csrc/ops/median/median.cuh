// The exact median of squared distances, selected on the device digit by digit, without waiting for the host.
#pragma once

#include "engine/walk/pair_schedule_cuda.hpp"
#include "ops/dispatch/launch_stream.cuh"
#include "ops/dispatch/layer.cuh"
#include "ops/dispatch/scratch.cuh"

namespace gramless::cuda {

constexpr int digit_bits = 11, digit_values = 1 << digit_bits;

// The state of the search for two order statistics: the known bits, and the ranks among the distances with those bits.
struct Selection {
  unsigned long long known[2], rank[2];
  unsigned long long nans, zero_distances;     // of pairs i < j; zero_distances: at distance 0, up to rounding
  unsigned long long counts[2][digit_values];  // of the next digit
};

template <class Operand>
class DeviceMedian {
 public:
  DeviceMedian(std::int64_t rows, DeviceLayout& layout) : rows_(rows), selection_(layout.take<Selection>(1)) {}

  void run(const DeviceLayer<Operand>& layer, bool include_diagonal, double* median, LaunchStream& launches) const;

 private:
  std::int64_t rows_;
  Selection* selection_;
};

}  // namespace gramless::cuda
