// The twin of dot_tile.cuh for compute capability 9.0. One thread fills the ring with boxes and does nothing else; two
// warpgroups multiply them and alternate, so that one evaluates its values while the other multiplies. It knows no
// kernel function and no loss.
#pragma once

#include "engine/instructions/primitives_hopper.cuh"
#include "engine/pack/operands.cuh"

namespace gramless::cuda {

// A block is two warpgroups that multiply and one thread that copies.
constexpr int hopper_threads = 3 * warpgroup_threads, writer_registers = 24, reader_registers = 240;
// A block starts with what its launch bounds allow, 168 registers a thread; the warpgroups' shares add up to exactly
// that.
static_assert(writer_registers + 2 * reader_registers == 3 * 168);

// Boxes of rows and of columns in shared memory, aligned to 1024 bytes as their swizzle is.
template <class Operand>
struct BoxRing {
  static constexpr int rows = 128, warps = 8, threads = warps * warp_lanes, planes = Operand::planes;
  static constexpr int stages = 6 / planes;
  static constexpr int turn_boxes = planes == 1 ? 3 : 1;  // how far one warpgroup is behind the other
  using Box = std::uint16_t[planes][rows * box_width];

  alignas(1024) Box of_rows[stages], of_columns[stages];
  Barrier full[stages], empty[stages];  // a stage's bytes have landed; all warps have released it
  Barrier turns[2];                     // the other warpgroup has ended its turn

  // Called by one thread.
  __device__ void initialize() {
    for (int stage = 0; stage < stages; stage++) {
      initialize_barrier(full[stage], 1);
      initialize_barrier(empty[stage], warps);
    }
    for (Barrier& turn : turns) initialize_barrier(turn, warps / 2);
  }

  __device__ static int boxes(const PackedRows<Operand>& packed) {
    return static_cast<int>((packed.stride() + box_width - 1) / box_width);
  }
};

// Where a factor lies: rows of 128 bytes, swizzled (PTX ISA, "matrix descriptor"): address, bytes from one 64 numbers
// to the next where rows are the depth of the product, bytes from eight rows to the next eight, kind of swizzle.
// Addresses and strides are in 16 bytes.
__device__ __forceinline__ std::uint64_t describe_rows(const void* first, int next_numbers = 16) {
  constexpr std::uint64_t eight_rows = 8 * box_row_bytes >> 4, swizzle_of_128_bytes = 1;
  return (shared_address(first) & 0x3ffffu) >> 4 | static_cast<std::uint64_t>(next_numbers >> 4) << 16 |
         eight_rows << 32 | swizzle_of_128_bytes << 62;
}
// 16 numbers further along the rows.
constexpr std::uint64_t description_step = 32 >> 4;

template <class Operand>
const char* map_packed(TensorMap& map, const PackedRows<Operand>& packed, int box_rows) {
  const std::int64_t rows = packed.plane_stride / packed.stride();
  return map_rows(map, packed.elements, packed.stride(), Operand::planes * rows, box_rows);
}

// A stage of the ring, and the parity of the current phase of its barriers.
template <int Stages>
struct RingPlace {
  int stage = 0;
  unsigned parity = 0;

  __device__ void advance() {
    stage = stage + 1 == Stages ? 0 : stage + 1;
    parity ^= stage == 0;
  }
};

// Two warpgroups take turns, the first one first.
class Turns {
 public:
  // ended[w]: the other warpgroup has ended its turn, and it is that of warpgroup w.
  __device__ explicit Turns(Barrier (&ended)[2])
      : ended_(ended),
        warpgroup_(static_cast<int>(threadIdx.x) / warpgroup_threads),
        parity_(warpgroup_ == 0 ? 1 : 0) {}

  __device__ void begin() {
    wait_for_phase(ended_[warpgroup_], parity_);
    parity_ ^= 1;
  }
  __device__ void end() const { arrive_by_warp(ended_[1 - warpgroup_]); }

 private:
  Barrier (&ended_)[2];
  int warpgroup_;
  unsigned parity_;
};

// The thread that fills the ring.
template <class Operand>
class RingWriter {
 public:
  using Ring = BoxRing<Operand>;

  __device__ explicit RingWriter(Ring& ring) : ring_(ring) {}

  // Copies what a tile multiplies: a block of rows, and another one as columns.
  __device__ void load(const TensorMap& map, const PackedRows<Operand>& packed, std::int64_t first_row,
                       std::int64_t first_col) {
    const int boxes = Ring::boxes(packed), plane_rows = static_cast<int>(packed.plane_stride / packed.stride());
    for (int box = 0; box < boxes; box++) {
      Barrier& full = ring_.full[place_.stage];
      wait_for_phase(ring_.empty[place_.stage], place_.parity ^ 1);  // no warp multiplies the stage's contents any more
      arrive_expecting(full, 2 * static_cast<int>(sizeof(typename Ring::Box)));
#pragma unroll
      for (int plane = 0; plane < Ring::planes; plane++) {
        const int above = plane * plane_rows;
        copy_box(ring_.of_rows[place_.stage][plane], map, above + static_cast<int>(first_row), box * box_width, full);
        copy_box(ring_.of_columns[place_.stage][plane], map, above + static_cast<int>(first_col), box * box_width,
                 full);
      }
      place_.advance();
    }
  }

 private:
  Ring& ring_;
  RingPlace<Ring::stages> place_;
};

// A warpgroup's position in the ring, and whose turn it is.
template <class Ring>
class RingPosition {
 public:
  __device__ explicit RingPosition(Ring& ring) : turns(ring.turns), ring_(ring) {}

  // Waits until the next stage has landed.
  __device__ int take() {
    const int stage = place_.stage;
    wait_for_phase(ring_.full[stage], place_.parity);
    place_.advance();
    return stage;
  }
  __device__ void hand_back(int stage) { arrive_by_warp(ring_.empty[stage]); }

  Turns turns;

 protected:
  Ring& ring_;

 private:
  RingPlace<Ring::stages> place_;
};

template <class Operand>
class RingReader : public RingPosition<BoxRing<Operand>> {
 public:
  using Ring = BoxRing<Operand>;
  using RingPosition<Ring>::RingPosition;

  __device__ std::uint64_t rows(int stage, int plane) const {
    const int warpgroup = static_cast<int>(threadIdx.x) / warpgroup_threads;
    return describe_rows(this->ring_.of_rows[stage][plane] + warpgroup * (Ring::rows / 2) * box_width);
  }
  __device__ std::uint64_t columns(int stage, int plane) const {
    return describe_rows(this->ring_.of_columns[stage][plane]);
  }
};

// The sums of a product of two warpgroups, 64 rows each, with 128 columns. Warps lie one below the other, 16 rows each,
// all columns wide.
class WarpgroupTile {
 public:
  using Value = float;
  static constexpr int own_rows = 2, own_cols = 32;
  using Sums = Value[own_rows * own_cols];

  __device__ WarpgroupTile()
      : lane_(static_cast<int>(threadIdx.x) % warp_lanes), warp_(static_cast<int>(threadIdx.x) / warp_lanes) {}

  __device__ Value& at(int r, int c) { return sums[c / 2 * 4 + r * 2 + c % 2]; }
  // Within the tile.
  __device__ int row(int r) const { return warp_ * 16 + r * 8 + lane_ / 4; }
  __device__ int col(int c) const { return c / 2 * 8 + lane_ % 4 * 2 + c % 2; }

  Sums sums;

 private:
  int lane_, warp_;
};

// sums = or += A B^T, in steps of 16 numbers of their rows.
template <class Operand>
__device__ __forceinline__ void multiply_box(WarpgroupTile::Sums& sums, std::uint64_t a, std::uint64_t b, bool add) {
#pragma unroll
  for (int k = 0; k < box_width / 16; k++) {
    if constexpr (std::is_same_v<Operand, BfloatOperand>)
      multiply_boxes_bfloat(sums, a + k * description_step, b + k * description_step, add || k > 0);
    else
      multiply_boxes_half(sums, a + k * description_step, b + k * description_step, add || k > 0);
  }
}

template <class Operand>
class DotTileHopper : public WarpgroupTile {
 public:
  using Ring = BoxRing<Operand>;
  static_assert(Ring::rows == 4 * own_cols);

  // Dot products of the next boxes of the ring.
  __device__ void multiply(RingReader<Operand>& reader, int boxes) {
    if constexpr (Ring::planes == 2) {
      multiply_planes(reader, sums);
      for (int box = 1; box < boxes; box++) add_planes(reader);
    } else {
      for (int done = 0; done < boxes; done += Ring::turn_boxes) {
        reader.turns.begin();
        multiply_boxes(reader, boxes - done < Ring::turn_boxes ? boxes - done : Ring::turn_boxes, done > 0);
      }
    }
  }

 private:
  __device__ void multiply_boxes(RingReader<Operand>& reader, int boxes, bool add) {
    int stage = 0;
    for (int box = 0; box < boxes; box++) {
      const int last = stage;
      stage = reader.take();
      fence_products();
      multiply_box<Operand>(sums, reader.rows(stage, 0), reader.columns(stage, 0), add || box > 0);
      commit_products();
      if (box == 0) continue;
      wait_for_products<1>(sums);  // the products of the last box have been made
      reader.hand_back(last);
    }
    reader.turns.end();
    wait_for_products<0>(sums);
    reader.hand_back(stage);
  }

  // A turn: the products of the next box, small ones first.
  __device__ void multiply_planes(RingReader<Operand>& reader, Sums& of_box) {
    reader.turns.begin();
    const int stage = reader.take();
    fence_products();
    multiply_box<Operand>(of_box, reader.rows(stage, 0), reader.columns(stage, 1), false);
    multiply_box<Operand>(of_box, reader.rows(stage, 1), reader.columns(stage, 0), true);
    multiply_box<Operand>(of_box, reader.rows(stage, 0), reader.columns(stage, 0), true);
    commit_products();
    reader.turns.end();
    wait_for_products<0>(of_box);
    reader.hand_back(stage);
  }

  // Tensor cores truncate their sums, an error that grows with the depth: the sums of each box are added with rounding
  // outside.
  __device__ void add_planes(RingReader<Operand>& reader) {
    Sums of_box;
    multiply_planes(reader, of_box);
#pragma unroll
    for (int i = 0; i < own_rows * own_cols; i++) sums[i] += of_box[i];
  }
};

}  // namespace gramless::cuda
