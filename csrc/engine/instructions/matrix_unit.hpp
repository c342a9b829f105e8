// The CPU's matrix unit (Intel AMX): registers of 16 rows x 64 bytes, and products of bfloat16 pairs into float32.
// Tests run it on CPUs without the unit: plain code then computes the same, rounded alike up to the order of a few
// additions.
#pragma once

#include <cstddef>
#include <cstdint>

#include "engine/instructions/simd.hpp"

#if defined(GRAMLESS_MATRIX_UNIT) && !defined(__AMX_BF16__)
#include <bit>
#define GRAMLESS_EMULATED_MATRIX_UNIT
#endif

namespace gramless {
inline namespace GRAMLESS_ISA {

#if defined(GRAMLESS_MATRIX_UNIT)
constexpr bool has_matrix_unit = true;
#else
constexpr bool has_matrix_unit = false;
#endif

#if defined(GRAMLESS_MATRIX_UNIT)

// Configures the unit on this thread during its lifetime: eight registers, all of full size.
class MatrixUnit {
 public:
  static constexpr int side = 16;                  // rows of a register, and float32 columns
  static constexpr int depth = 2 * side;           // what one product sums over: pairs of bfloat16
  static constexpr std::ptrdiff_t row_bytes = 64;  // of a register stored without gaps

  MatrixUnit(const MatrixUnit&) = delete;
  MatrixUnit& operator=(const MatrixUnit&) = delete;

#if !defined(GRAMLESS_EMULATED_MATRIX_UNIT)
  MatrixUnit() {
    alignas(64) Configuration configuration;
    for (int r = 0; r < 8; r++) {
      configuration.row_bytes[r] = row_bytes;
      configuration.rows[r] = side;
    }
    asm volatile("ldtilecfg %0" ::"m"(configuration));
  }
  ~MatrixUnit() { asm volatile("tilerelease"); }

  template <int Register>
  GRAMLESS_INLINE void zero() {
    asm volatile("tilezero %%tmm%c0" ::"i"(Register));
  }
  template <int Register>
  GRAMLESS_INLINE void load(const void* memory, std::ptrdiff_t stride = row_bytes) {
    asm volatile("tileloadd (%0,%1,1), %%tmm%c2" ::"r"(memory), "r"(stride), "i"(Register) : "memory");
  }
  template <int Register>
  GRAMLESS_INLINE void store(void* memory, std::ptrdiff_t stride) {
    asm volatile("tilestored %%tmm%c2, (%0,%1,1)" ::"r"(memory), "r"(stride), "i"(Register) : "memory");
  }
  // sums[i][j] += a[i][2p] b[p][2j] + a[i][2p + 1] b[p][2j + 1] over all p: pairs of the depth lie side by side in b.
  template <int Sums, int A, int B>
  GRAMLESS_INLINE void multiply() {
    asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(Sums), "i"(A), "i"(B));
  }

 private:
  struct Configuration {
    std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
    std::uint16_t row_bytes[16] = {};
    std::uint8_t rows[16] = {};
  };
#else
  MatrixUnit() = default;

  template <int Register>
  void zero() {
    std::memset(registers_[Register], 0, sizeof registers_[Register]);
  }
  template <int Register>
  void load(const void* memory, std::ptrdiff_t stride = row_bytes) {
    for (int r = 0; r < side; r++)
      std::memcpy(registers_[Register][r], static_cast<const char*>(memory) + r * stride, row_bytes);
  }
  template <int Register>
  void store(void* memory, std::ptrdiff_t stride) {
    for (int r = 0; r < side; r++)
      std::memcpy(static_cast<char*>(memory) + r * stride, registers_[Register][r], row_bytes);
  }
  template <int Sums, int A, int B>
  void multiply() {
    for (int i = 0; i < side; i++)
      for (int j = 0; j < side; j++) {
        float even = 0, odd = 0;
        for (int p = 0; p < side; p++) {
          const std::uint32_t a = registers_[A][i][p], b = registers_[B][p][j];
          even += std::bit_cast<float>(a << 16) * std::bit_cast<float>(b << 16);
          odd += std::bit_cast<float>(a & 0xFFFF0000u) * std::bit_cast<float>(b & 0xFFFF0000u);
        }
        std::uint32_t& sum = registers_[Sums][i][j];
        sum = std::bit_cast<std::uint32_t>(std::bit_cast<float>(sum) + (even + odd));
      }
  }

 private:
  std::uint32_t registers_[8][side][side];
#endif
};

#endif

}  // namespace GRAMLESS_ISA
}  // namespace gramless
