// Each anchor's softmax sums over all columns, on the device.
#pragma once

#include "engine/pack/pack.cuh"
#include "engine/walk/pair_schedule_circular.hpp"
#include "epilogues/logit.cuh"
#include "ops/contrast/contrast_rows.cuh"

namespace gramless::cuda {

// The factors of logits. They lie on the device, where the largest element and perhaps the temperature are known.
struct LogitScales {
  double row;    // the power of two that packed rows are multiplied by
  double logit;  // 1 / temperature
  double shift;  // of all anchors, unless running
  bool running;  // shifts are each anchor's largest logit
};

// All pairs of rows with columns. logit = scales->logit * dot product of the rows themselves.
template <class Operand>
struct DevicePairs {
  static constexpr int tiles_per_block = WarpRowsShape<Operand>::rows / WarpRowsShape<Operand>::cols;

  SideRows<Operand> rows, columns;
  bool symmetric;  // columns are the rows again
  bool positives_raise;
  // Negatives with a larger dot product of packed rows are left out of the anchor's sums; null: none are.
  const double *row_limits, *column_limits;
  const LogitScales* scales;

  // The logit's factor of a dot product of packed rows.
  __device__ double packed_scale() const {
    const double inverse = static_cast<double>(inverse_of_power(static_cast<float>(scales->row)));
    return scales->logit * inverse * inverse;
  }

  // Logits of dot products of packed rows.
  __device__ Logit<Operand> logits() const { return {packed_scale(), scales->shift}; }

  // A limit of dot products of the unpacked rows, rounded as those would be.
  template <class T>
  __device__ T packed_limit(double limit) const {
    return static_cast<T>(static_cast<double>(static_cast<T>(limit)) * scales->row * scales->row);
  }

  // Whether all pairs of a block of rows and one of columns are negatives that count.
  __device__ bool all_negative(std::int64_t row_block, std::int64_t column_block) const {
    if (row_limits != nullptr) return false;
    const GroupRange others = columns.ranges[column_block];
    return rows.ranges[2 * row_block].apart(others) && rows.ranges[2 * row_block + 1].apart(others);
  }
  // The same for two blocks of rows.
  __device__ bool blocks_all_negative(std::int64_t row_block, std::int64_t other) const {
    for (int t = 0; t < tiles_per_block; t++)
      if (!all_negative(row_block, other * tiles_per_block + t)) return false;
    return true;
  }
};

// Arrays (anchors) of one side; see AnchorSums. count: of positives.
struct DeviceAnchorSums {
  double *shift, *negative, *positive, *positive_logit, *count;

  // The first five of the arrays (6, stride) that are saved, from `first` on.
  static DeviceAnchorSums of(double* saved, std::int64_t stride, std::int64_t first) {
    saved += first;
    return {saved, saved + stride, saved + 2 * stride, saved + 3 * stride, saved + 4 * stride};
  }
};

// Of symmetric pairs, tiles without a positive are computed once, for the sums of their rows and of their columns.
template <class Operand>
class SoftmaxSums {
 public:
  using Value = typename Operand::Value;

  // stored_bytes: for the sums of columns of one launch, at least those of one distance of blocks.
  SoftmaxSums(std::int64_t rows, std::int64_t columns, bool symmetric, std::int64_t stored_bytes,
              std::int64_t busy_blocks, DeviceLayout& layout);
  // Adds to sums, which must be 0 at first.
  void run(const DevicePairs<Operand>& pairs, const DeviceAnchorSums& sums, LaunchStream& launches) const;

 private:
  using Shape = WarpRowsShape<Operand>;

  std::int64_t rows_;
  CircularSchedule schedule_;  // of blocks of rows
  int count_;                  // of distances, or of tiles of columns
  int step_;                   // of them in a launch
  std::int64_t strips_;
  double* partials_;        // (strips, 5, rows)
  Value* column_partials_;  // (distances of a launch, padded rows)
};

}  // namespace gramless::cuda
