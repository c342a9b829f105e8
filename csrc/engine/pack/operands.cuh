// Operands of the tensor cores: how rows are stored for each, and which product instruction takes their fragments.
#pragma once

#include <type_traits>

#include "engine/instructions/primitives.cuh"
#include "support/shared.hpp"

namespace gramless::cuda {

// Value: the type of dot products and kernel values. planes: how many numbers add up to an element. atom_rows: rows of
// one product.
struct BfloatOperand {
  using Element = std::uint16_t;
  using Value = float;
  static constexpr int planes = 1, atom_rows = 16;
  __device__ __forceinline__ static void multiply_add(float (&d)[4], const std::uint32_t (&a)[4],
                                                      const std::uint32_t (&b)[2]) {
    multiply_add_bfloat(d, a, b);
  }
};

struct HalfOperand {
  using Element = std::uint16_t;
  using Value = float;
  static constexpr int planes = 1, atom_rows = 16;
  __device__ __forceinline__ static void multiply_add(float (&d)[4], const std::uint32_t (&a)[4],
                                                      const std::uint32_t (&b)[2]) {
    multiply_add_half(d, a, b);
  }
};

// x = high + low, scaled by a power of two so that low keeps its digits: 22 bits of x. The product of two lows, 2^-22
// of the whole, is left out.
struct SplitOperand : HalfOperand {
  static constexpr int planes = 2;

  // Tensor cores truncate their sums, an error that grows with the depth: their sums are kept short and are added with
  // rounding outside.
  __device__ __forceinline__ static void multiply_add(float (&d)[4], const std::uint32_t (&a_high)[4],
                                                      const std::uint32_t (&a_low)[4], const std::uint32_t (&b_high)[2],
                                                      const std::uint32_t (&b_low)[2]) {
    float sum[4];
    multiply_half(sum, a_high, b_low);
    multiply_add_half(sum, a_low, b_high);
    multiply_add_half(sum, a_high, b_high);
#pragma unroll
    for (int i = 0; i < 4; i++) d[i] += sum[i];
  }

  // Bitwise-identical results for <a, b> and <b, a>, since both cross products begin at 0.
  __device__ __forceinline__ static void multiply_add_symmetric(float (&d)[4], const std::uint32_t (&a_high)[4],
                                                                const std::uint32_t (&a_low)[4],
                                                                const std::uint32_t (&b_high)[2],
                                                                const std::uint32_t (&b_low)[2]) {
    float sum[4], other[4];
    multiply_half(sum, a_high, b_low);
    multiply_half(other, a_low, b_high);
#pragma unroll
    for (int i = 0; i < 4; i++) sum[i] += other[i];
    multiply_add_half(sum, a_high, b_high);
#pragma unroll
    for (int i = 0; i < 4; i++) d[i] += sum[i];
  }
};

struct Tf32Operand {
  using Element = float;
  using Value = float;
  static constexpr int planes = 1, atom_rows = 16;
  __device__ __forceinline__ static void multiply_add(float (&d)[4], const std::uint32_t (&a)[4],
                                                      const std::uint32_t (&b)[2]) {
    multiply_add_tf32(d, a, b);
  }
};

struct DoubleOperand {
  using Element = double;
  using Value = double;
  static constexpr int planes = 1, atom_rows = 8;
};

template <class Operand>
constexpr bool is_scaled = Operand::planes == 2;

// A slice of the depth is 64 bytes of every row.
constexpr int slice_bytes = 64;
template <class Operand>
constexpr int slice_elements = slice_bytes / static_cast<int>(sizeof(typename Operand::Element));

// Rows as tiles read them, in scratch: whole slices of whole blocks of rows, zero outside the matrix.
template <class Operand>
struct PackedRows {
  typename Operand::Element* elements = nullptr;  // (planes, rows, stride)
  std::int64_t plane_stride = 0;                  // in elements
  int slices = 0;                                 // of a row

  GRAMLESS_HD std::int64_t stride() const { return std::int64_t{slices} * slice_elements<Operand>; }
};

}  // namespace gramless::cuda
