// The fragment maps of the emulated matrix products are those of CuTe. Host only; needs the headers of nvidia-cutlass.
#include <cute/atom/mma_traits_sm80.hpp>
#include <cute/tensor.hpp>

#include "check.hpp"

namespace {

// As in tests/cuda_emulator/primitives.hpp: lane, register and half of it to row and depth.
template <class Traits, int Depth>
void check_maps() {
  typename Traits::ALayout a;
  typename Traits::BLayout b;
  typename Traits::CLayout c;
  constexpr int halves = Depth / 8;
  for (int lane = 0; lane < 32; lane++) {
    const int group = lane / 4, quad = lane % 4;
    for (int half = 0; half < halves; half++) {
      const int k = quad * halves + half;
      for (int i = 0; i < 4; i++)
        CHECK(a(lane, i * halves + half) == group + i % 2 * 8 + 16 * (k + i / 2 * (Depth / 2)));
      for (int i = 0; i < 2; i++) CHECK(b(lane, i * halves + half) == group + 8 * (k + i * (Depth / 2)));
    }
    for (int i = 0; i < 4; i++) CHECK(c(lane, i) == group + i / 2 * 8 + 16 * (quad * 2 + i % 2));
  }
}

TEST(fragments_of_half_types_lie_as_cute_says) {
  check_maps<cute::MMA_Traits<cute::SM80_16x8x16_F32BF16BF16F32_TN>, 16>();
  check_maps<cute::MMA_Traits<cute::SM80_16x8x16_F32F16F16F32_TN>, 16>();
}

TEST(fragments_of_tf32_lie_as_cute_says) { check_maps<cute::MMA_Traits<cute::SM80_16x8x8_F32TF32TF32F32_TN>, 8>(); }

TEST(fragments_of_float64_lie_as_cute_says) {
  using Traits = cute::MMA_Traits<cute::SM80_8x8x4_F64F64F64F64_TN>;
  Traits::ALayout a;
  Traits::BLayout b;
  Traits::CLayout c;
  for (int lane = 0; lane < 32; lane++) {
    CHECK(a(lane, 0) == lane / 4 + 8 * (lane % 4));
    CHECK(b(lane, 0) == lane / 4 + 8 * (lane % 4));
    for (int i = 0; i < 2; i++) CHECK(c(lane, i) == lane / 4 + 8 * (lane % 4 * 2 + i));
  }
}

// Rows 64 bytes apart, 16-byte pieces: engine/dot_tile.cuh's own formula is CuTe's Swizzle<2, 4, 3> of the address.
TEST(swizzled_pieces_lie_as_cute_says) {
  const cute::Swizzle<2, 4, 3> swizzle;
  for (int row = 0; row < 128; row++)
    for (int piece = 0; piece < 4; piece++)
      CHECK(row * 64 + (piece ^ (row / 2 % 4)) * 16 == swizzle(row * 64 + piece * 16));
}

}  // namespace
