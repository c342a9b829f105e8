// The dot product above which each anchor's negatives are left out, on the device.
#pragma once

#include "ops/contrast/softmax_sums.cuh"

namespace gramless::cuda {

// Which of each anchor's negatives are the hardest.
struct HardestNegatives {
  double fraction;  // of them
  double tie;       // dot products closer than this, relative to the largest, are equally hard
};

// Broadcasts one limit to all anchors and keys.
template <class Operand>
void fill_limits(const DevicePairs<Operand>& pairs, double limit, double* limits, std::int64_t rows,
                 LaunchStream& launches);

template <class Operand>
class HardestLimits {
 public:
  using Value = typename Operand::Value;
  using Shape = WarpRowsShape<Operand>;

  // For the negatives of anchors among the keys and, with `two_way`, of keys among the anchors.
  HardestLimits(std::int64_t anchors, std::int64_t keys, bool two_way, std::int64_t stored_bytes, DeviceLayout& layout);

  // limits (anchors): of dot products of packed rows, for the first rows of the pairs.
  void run(const DevicePairs<Operand>& pairs, std::int64_t anchors, const HardestNegatives& which, double* limits,
           LaunchStream& launches) const;

 private:
  // How many blocks of anchors are in memory at a time, each with all its columns.
  struct Strips {
    Strips(std::int64_t anchors, std::int64_t columns, std::int64_t stored_bytes);
    std::int64_t values() const { return blocks * Shape::rows * stride; }

    std::int64_t all_blocks, stride, blocks;
  };

  std::int64_t stored_bytes_;
  Value* values_;  // (rows of a strip, stride)
};

}  // namespace gramless::cuda
