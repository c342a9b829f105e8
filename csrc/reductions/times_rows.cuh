// Weights in the registers of a block times rows: the second product of a backward pass, accumulated in registers. The
// twin of reductions/times_rows.hpp.
#pragma once

#include "engine/product/dot_tile.cuh"

namespace gramless::cuda {

// A range of a row's slices.
struct SliceRange {
  int first, count;
};

// A warp's rows of weights (rows of the tile, its columns) times the rows that those columns stand for, some slices of
// them at a time.
template <class Operand, class Shape, int Slices>
class TimesRows {
 public:
  using Value = typename Operand::Value;
  using Tile = DotTile<Operand, Shape>;
  static constexpr int chunk = Slices;  // at a time: their sums are in registers
  static constexpr int slice = slice_elements<Operand>;
  static_assert(Shape::warps_across == 1 && Shape::warp_rows == Operand::atom_rows);
  static constexpr int block_bytes = chunk * Operand::planes * Shape::cols * slice_bytes;

  __device__ explicit TimesRows(char* memory)
      : memory_(memory),
        lane_(static_cast<int>(threadIdx.x) % warp_lanes),
        lane_piece_(lane_ % 16 * slice_bytes + swizzled(lane_, lane_ / 16)) {
#pragma unroll
    for (auto& of_slice : sums_)
#pragma unroll
      for (auto& atom : of_slice)
#pragma unroll
        for (Value& value : atom) value = 0;
  }

  // The slices of a row that this block computes: blockIdx.z counts chunks.
  __device__ static SliceRange slices_of_block(int all) {
    const int first = static_cast<int>(blockIdx.z) * chunk, left = all - first;
    return {first, left < chunk ? left : chunk};
  }

  // Starts copying those slices of rows first, first + 1, ...; the memory must be free of readers.
  __device__ void load(const PackedRows<Operand>& rows, std::int64_t first, const SliceRange& slices) const {
    constexpr int pieces = Operand::planes * Shape::cols * 4;
    for (int i = static_cast<int>(threadIdx.x); i < pieces; i += Shape::threads) {
      const int plane = i / (Shape::cols * 4), row = i / 4 % Shape::cols;
      const auto* from = rows.elements + plane * rows.plane_stride + (first + row) * rows.stride() +
                         slices.first * slice + i % 4 * (slice / 4);
      char* to = memory_ + plane * plane_bytes + row * slice_bytes + swizzled(row, i % 4);
      for (int s = 0; s < slices.count; s++, from += slice, to += Operand::planes * plane_bytes) copy_async(to, from);
    }
    commit_copies();
  }

  // Adds weights times the rows loaded.
  __device__ void add(Tile& weights, int slices) {
    wait_for_copies<0>();
    __syncthreads();  // the rows have landed for all threads
    if constexpr (Operand::atom_rows == 16)
      add_atoms(weights, slices);
    else
      add_doubles(weights, slices);
    __syncthreads();  // no thread reads them any more
  }

  // Writes this block's sums to partials (strips, padded rows, stride), from its first row and slice on.
  __device__ void store(Value* partials, std::int64_t padded_rows, std::int64_t first_row, std::int64_t stride,
                        const SliceRange& slices) const {
    const std::int64_t of_warp = first_row + static_cast<int>(threadIdx.x) / warp_lanes * Shape::warp_rows;
    Value* const out = partials + (blockIdx.y * padded_rows + of_warp) * stride + slices.first * slice;
#pragma unroll
    for (int s = 0; s < chunk; s++)
      if (s < slices.count)
#pragma unroll
        for (int a = 0; a < atoms; a++)
#pragma unroll
          for (int v = 0; v < atom_values; v++)
            out[(v / 2 * 8 + lane_ / 4) * stride + s * slice + a * 8 + lane_ % 4 * 2 + v % 2] = sums_[s][a][v];
  }

 private:
  static constexpr int atoms = slice / 8, atom_values = Operand::atom_rows == 16 ? 4 : 2;
  static constexpr int plane_bytes = Shape::cols * slice_bytes;

  __device__ static std::uint32_t pair(Value low, Value high) {
    if constexpr (std::is_same_v<Operand, BfloatOperand>)
      return bfloat_pair(low, high);
    else
      return half_pair(low, high);
  }

  // The weights of 16 columns as a fragment: the results of two products have the layout of one product's left factor.
  __device__ static void fragments(Tile& weights, int k, std::uint32_t (&a)[Operand::planes][4]) {
#pragma unroll
    for (int i = 0; i < 4; i++) {
      const Value low = weights.at(i % 2, 4 * k + i / 2 * 2), high = weights.at(i % 2, 4 * k + i / 2 * 2 + 1);
      a[0][i] = pair(low, high);
      if constexpr (Operand::planes == 2)
        a[1][i] = pair(low - widen_half(half_bits(low)), high - widen_half(half_bits(high)));
    }
  }

  __device__ void add_atoms(Tile& weights, int slices) {
#pragma unroll
    for (int k = 0; k < Shape::cols / 16; k++) {
      std::uint32_t a[Operand::planes][4];
      fragments(weights, k, a);
#pragma unroll
      for (int s = 0; s < chunk; s++)
        if (s < slices)
#pragma unroll
          for (int two = 0; two < atoms; two += 2) {
            std::uint32_t rows[Operand::planes][4];
#pragma unroll
            for (int plane = 0; plane < Operand::planes; plane++)
              load_matrices_transposed(rows[plane], memory_ + (s * Operand::planes + plane) * plane_bytes +
                                                        k * 16 * slice_bytes + (lane_piece_ ^ two * 16));
#pragma unroll
            for (int half = 0; half < 2; half++) {
              auto& sum = sums_[s][two + half];
              const std::uint32_t high[2] = {rows[0][2 * half], rows[0][2 * half + 1]};
              if constexpr (Operand::planes == 2) {
                const std::uint32_t low[2] = {rows[1][2 * half], rows[1][2 * half + 1]};
                Operand::multiply_add(sum, a[0], a[1], high, low);
              } else {
                Operand::multiply_add(sum, a[0], high);
              }
            }
          }
    }
  }

  // A product takes 4 of an atom's 8 columns: its even ones, then its odd ones.
  __device__ void add_doubles(Tile& weights, int slices) {
#pragma unroll
    for (int n = 0; n < Shape::cols / 8; n++)
#pragma unroll
      for (int odd = 0; odd < 2; odd++) {
        const double a = weights.at(0, 2 * n + odd);
        const int row = n * 8 + lane_ % 4 * 2 + odd;
        const char* const of_lane = memory_ + row * slice_bytes + swizzled(row, lane_ / 8) + lane_ / 4 % 2 * 8;
#pragma unroll
        for (int s = 0; s < chunk; s++)
          if (s < slices)
            multiply_add_double(sums_[s][0], a, *reinterpret_cast<const double*>(of_lane + s * plane_bytes));
      }
  }

  char* memory_;  // (slices, planes, rows)
  int lane_;
  int lane_piece_;  // what this lane loads of the first atoms
  Value sums_[chunk][atoms][atom_values];
};

}  // namespace gramless::cuda
