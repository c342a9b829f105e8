// Products of a block's rows, which stay in shared memory, with tiles of columns that pass through a ring there, on
// compute capability 9.0; and of weights in registers with the same tiles of columns. Two warpgroups take turns, each
// with half of the rows. It knows no loss.
#pragma once

#include "engine/product/dot_tile_hopper.cuh"

namespace gramless::cuda {

// Boxes of rows of at most 128 numbers; numbers past their end are 0. Aligned to 1024 bytes as their swizzle is.
template <class Operand>
struct ResidentRing {
  static_assert(Operand::planes == 1);
  static constexpr int rows = 128, warps = 8, threads = warps * warp_lanes;
  static constexpr int boxes = 2, width = boxes * box_width, stages = 4;
  using Box = std::uint16_t[rows * box_width];

  alignas(1024) Box of_rows[boxes], of_columns[stages][boxes];
  Barrier rows_landed, full[stages], empty[stages];  // a stage's bytes have landed; all warps have released it
  Barrier turns[2];                                  // see Turns

  // Called by one thread.
  __device__ void initialize() {
    initialize_barrier(rows_landed, 1);
    for (int stage = 0; stage < stages; stage++) {
      initialize_barrier(full[stage], 1);
      initialize_barrier(empty[stage], warps);
    }
    for (Barrier& turn : turns) initialize_barrier(turn, warps / 2);
  }

  __device__ static bool holds(const PackedRows<Operand>& packed) { return packed.stride() <= width; }
};

// The thread that copies.
template <class Operand>
class ResidentWriter {
 public:
  using Ring = ResidentRing<Operand>;

  __device__ ResidentWriter(Ring& ring, const TensorMap& map) : ring_(ring), map_(map) {}

  __device__ void load_rows(std::int64_t first_row) { load(ring_.of_rows, first_row, ring_.rows_landed); }
  // Waits until no warp multiplies the contents of the next stage.
  __device__ void load_columns(std::int64_t first_col) {
    wait_for_phase(ring_.empty[place_.stage], place_.parity ^ 1);
    load(ring_.of_columns[place_.stage], first_col, ring_.full[place_.stage]);
    place_.advance();
  }

 private:
  using Box = typename Ring::Box;

  __device__ void load(Box (&to)[Ring::boxes], std::int64_t first, Barrier& landed) {
    arrive_expecting(landed, static_cast<int>(sizeof to));
#pragma unroll
    for (int box = 0; box < Ring::boxes; box++)
      copy_box(to[box], map_, static_cast<int>(first), box * box_width, landed);
  }

  Ring& ring_;
  const TensorMap& map_;
  RingPlace<Ring::stages> place_;
};

// What one of the two warpgroups multiplies.
template <class Operand>
class ResidentReader : public RingPosition<ResidentRing<Operand>> {
 public:
  using Ring = ResidentRing<Operand>;
  using Sums = WarpgroupTile::Sums;
  static constexpr int fragments = Ring::rows / 16;
  using Weights = std::uint32_t[fragments][4];  // of 64 rows, 16 columns in each fragment

  using RingPosition<Ring>::RingPosition;

  __device__ void wait_for_rows() { wait_for_phase(this->ring_.rows_landed, 0); }

  // sums = rows times columns.
  __device__ __forceinline__ void multiply(Sums& sums, int stage) const {
    const int warpgroup = static_cast<int>(threadIdx.x) / warpgroup_threads;
#pragma unroll
    for (int box = 0; box < Ring::boxes; box++)
      multiply_box<Operand>(sums, describe_rows(this->ring_.of_rows[box] + warpgroup * (Ring::rows / 2) * box_width),
                            describe_rows(this->ring_.of_columns[stage][box]), box > 0);
  }

  // sums (64 rows, width) += weights times the rows that the tile's columns stand for; they are the depth of this
  // product.
  __device__ __forceinline__ void multiply_weights(Sums& sums, const Weights& weights, int stage) const {
#pragma unroll
    for (int k = 0; k < fragments; k++) {
      const std::uint64_t columns = describe_rows(this->ring_.of_columns[stage][0] + k * 16 * box_width,
                                                  static_cast<int>(sizeof(typename Ring::Box)));
      if constexpr (std::is_same_v<Operand, BfloatOperand>)
        multiply_fragment_bfloat(sums, weights[k], columns, true);
      else
        multiply_fragment_half(sums, weights[k], columns, true);
    }
  }
};

}  // namespace gramless::cuda
