// One side of a contrastive loss made ready for tiles on the device: the twin of ops/contrast/contrast_rows.hpp.
#pragma once

#include "ops/api.hpp"
#include "ops/dispatch/launch_stream.cuh"
#include "ops/dispatch/scratch.cuh"
#include "ops/dispatch/warp_rows.cuh"

namespace gramless::cuda {

// The same for kernels that hold a part of the rows' gradients in registers beside the tile.
template <class Operand>
struct GradShape : WarpRowsShape<Operand> {
  static constexpr bool lean = true;
};

// Groups of the rows of one block lie in [lowest, highest], ignoring rows without a partner.
struct GroupRange {
  std::int32_t lowest, highest;

  __device__ bool apart(const GroupRange& other) const { return highest < other.lowest || other.highest < lowest; }
};

// Rows of one side; arrays are padded to whole blocks.
template <class Operand>
struct SideRows {
  PackedRows<Operand> rows;
  std::int64_t count = 0;
  std::int32_t* groups = nullptr;
  GroupRange* ranges = nullptr;  // of every WarpRowsShape::cols rows
};

template <class Operand>
class DeviceContrastRows {
 public:
  using Shape = WarpRowsShape<Operand>;

  DeviceContrastRows(const ContrastSide& side, bool positives, DeviceLayout& layout);

  void find_largest(LaunchStream& launches) const;  // the largest element of each row, from which a scale is chosen
  // z = x / max(|x|, 1e-12), or x itself, times *scale.
  void pack(bool normalize, const double* scale, LaunchStream& launches) const;

  SideRows<Operand> rows() const { return rows_; }
  const double* inverse_norms() const { return inverse_norms_; }
  const float* largest() const { return largest_; }
  static std::int64_t padded(std::int64_t rows) { return blocks_of(rows, Shape::rows) * Shape::rows; }

 private:
  ContrastSide side_;
  bool positives_;
  SideRows<Operand> rows_;
  double* inverse_norms_;  // (rows)
  float* largest_;         // (rows)
};

inline std::int64_t rows_of(const ContrastSide& side) {
  std::int64_t rows = 0;
  for (int p = 0; p < side.part_count; p++) rows += side.parts[p].rows;
  return rows;
}

}  // namespace gramless::cuda
