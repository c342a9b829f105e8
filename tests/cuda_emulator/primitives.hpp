// The emulated twins of engine/instructions/ptx.cuh: the same names, and the effects of the hardware on registers and
// shared memory.
#pragma once

#include <bit>
#include <cmath>

#include "cuda_emulator/language.hpp"
#include "support/dtype.hpp"

namespace gramless::cuda {

using emulator::Site;

inline void check_alignment(const void* address, const char* operation, Site site) {
  if (reinterpret_cast<std::uintptr_t>(address) % 16 != 0)
    emulator::fail(std::string(operation) + ": an address is not a multiple of 16 at " + site.text());
}

template <class T>
T* shared_memory() {
  return reinterpret_cast<T*>(emulator::shared_bytes());
}

template <class... Parameters, class... Arguments>
const char* launch(void (*kernel)(Parameters...), Grid grid, int threads, std::size_t shared_bytes, void*,
                   Arguments... arguments) {
  static thread_local std::string message;
  try {
    emulator::Launch({grid.x, grid.y, grid.z}, {static_cast<unsigned>(threads), 1, 1}, shared_bytes, [&] {
      kernel(arguments...);
    }).run();
  } catch (const emulator::Error& error) {
    message = error.what();
    return message.c_str();
  }
  return nullptr;
}

inline int current_device() { return 0; }
inline int compute_capability(int) { return emulator::options.capability; }
inline int multiprocessors() { return emulator::options.multiprocessors; }
inline std::int64_t l2_bytes() { return emulator::options.l2_bytes; }

inline const char* fill_bytes(void* address, int value, std::size_t bytes, void*) {
  std::memset(address, value, bytes);
  return nullptr;
}

// A float16 of a float, rounded to nearest even. The smallest that rounds to infinity is 65520.
inline std::uint16_t half_bits(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t sign = bits >> 16 & 0x8000u, magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return static_cast<std::uint16_t>(sign | 0x7fffu);
  if (magnitude >= 0x477ff000u) return static_cast<std::uint16_t>(sign | 0x7c00u);
  if (magnitude < 0x38800000u) {  // below 2^-14 the last place is 2^-24: added to 0.5, a float has just that
    const float shifted = std::bit_cast<float>(magnitude) + 0.5f;
    return static_cast<std::uint16_t>(sign | (std::bit_cast<std::uint32_t>(shifted) - 0x3f000000u));
  }
  return static_cast<std::uint16_t>(sign | ((magnitude - 0x38000000u + 0xfffu + (magnitude >> 13 & 1u)) >> 13));
}
inline std::uint16_t bfloat_bits(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return 0x7fff;
  return static_cast<std::uint16_t>((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}
inline float widen_half(std::uint16_t bits) { return widen(Half{bits}); }
inline std::uint32_t half_pair(float low, float high) { return half_bits(low) | std::uint32_t{half_bits(high)} << 16; }
inline std::uint32_t bfloat_pair(float low, float high) {
  return bfloat_bits(low) | std::uint32_t{bfloat_bits(high)} << 16;
}
// Ties away from zero.
inline float round_to_tf32(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if ((bits & 0x7f800000u) == 0x7f800000u) return value;
  return std::bit_cast<float>((bits + 0x1000u) & ~0x1fffu);
}
inline float exp2_approximately(float x) { return std::exp2(x); }
inline void forget_loads() {}
inline float fused_multiply_add(float a, float b, float c) { return std::fma(a, b, c); }
template <class T>
T multiply_rounded(T a, T b) {
  return a * b;
}

namespace detail {

inline void load_matrices(std::uint32_t (&fragments)[4], const void* row, bool transposed, Site site) {
  check_alignment(row, "ldmatrix", site);
  std::uint64_t words[2];
  std::memcpy(words, row, 16);  // each lane reads the row at its own address
  emulator::warp_operation(transposed ? "ldmatrix.trans" : "ldmatrix", ~0u, words, 2, site,
                           [&](emulator::WarpOperands& lanes) {
                             std::uint16_t elements[4][8][8];
                             for (int lane = 0; lane < 32; lane++)
                               std::memcpy(elements[lane / 8][lane % 8], lanes[lane], 16);
                             for (int lane = 0; lane < 32; lane++)
                               for (int m = 0; m < 4; m++)
                                 for (int half = 0; half < 2; half++) {
                                   const int row_of_lane = lane / 4, column = lane % 4 * 2 + half;
                                   const std::uint16_t element =
                                       transposed ? elements[m][column][row_of_lane] : elements[m][row_of_lane][column];
                                   std::memcpy(reinterpret_cast<char*>(lanes[lane]) + 4 * m + 2 * half, &element, 2);
                                 }
                           });
  std::memcpy(fragments, words, 16);
}

// Tensor cores truncate a sum where software would round it (Fasi, Higham, Mikaitis, Pranesh 2021).
EMULATOR_ARITHMETIC inline float toward_zero(double value) {
  const float rounded = static_cast<float>(value);
  if (!(std::abs(static_cast<double>(rounded)) > std::abs(value))) return rounded;
  return std::bit_cast<float>(std::bit_cast<std::uint32_t>(rounded) - 1);
}

// D (16, 8) += A (16, Depth) B (Depth, 8); element(register, half) widens a fragment's element.
template <int Depth, class Widen>
void multiply_add(const char* operation, float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2],
                  Site site, Widen widen_element) {
  constexpr int halves = Depth / 8;  // elements in a register
  std::uint64_t words[10];
  for (int i = 0; i < 4; i++) words[i] = a[i];
  for (int i = 0; i < 2; i++) words[4 + i] = b[i];
  for (int i = 0; i < 4; i++) words[6 + i] = std::bit_cast<std::uint32_t>(d[i]);
  emulator::warp_operation(operation, ~0u, words, 10, site, [&](emulator::WarpOperands& lanes) EMULATOR_ARITHMETIC {
    double rows[16][Depth], columns[Depth][8], sums[16][8];
    for (int lane = 0; lane < 32; lane++) {
      const int group = lane / 4, quad = lane % 4;
      const auto word = [&](int i) { return static_cast<std::uint32_t>(lanes[lane][i]); };
      for (int half = 0; half < halves; half++) {
        const int k = quad * halves + half;
        for (int i = 0; i < 4; i++) rows[group + i % 2 * 8][k + i / 2 * (Depth / 2)] = widen_element(word(i), half);
        for (int i = 0; i < 2; i++) columns[k + i * (Depth / 2)][group] = widen_element(word(4 + i), half);
      }
      for (int i = 0; i < 4; i++) sums[group + i / 2 * 8][quad * 2 + i % 2] = std::bit_cast<float>(word(6 + i));
    }
    for (int r = 0; r < 16; r++)
      for (int k = 0; k < Depth; k++)
        for (int c = 0; c < 8; c++) sums[r][c] += rows[r][k] * columns[k][c];
    for (int lane = 0; lane < 32; lane++)
      for (int i = 0; i < 4; i++)
        lanes[lane][6 + i] =
            std::bit_cast<std::uint32_t>(toward_zero(sums[lane / 4 + i / 2 * 8][lane % 4 * 2 + i % 2]));
  });
  for (int i = 0; i < 4; i++) d[i] = std::bit_cast<float>(static_cast<std::uint32_t>(words[6 + i]));
}

inline void land(const emulator::AsyncCopy& copy) { std::memcpy(copy.to, copy.from, copy.bytes); }

}  // namespace detail

inline void load_matrices(std::uint32_t (&fragments)[4], const void* row, Site site = emulator::here()) {
  detail::load_matrices(fragments, row, false, site);
}
inline void load_matrices_transposed(std::uint32_t (&fragments)[4], const void* row, Site site = emulator::here()) {
  detail::load_matrices(fragments, row, true, site);
}

inline void multiply_add_bfloat(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2],
                                Site site = emulator::here()) {
  detail::multiply_add<16>("mma.bf16", d, a, b, site, [](std::uint32_t word, int half) {
    return static_cast<double>(std::bit_cast<float>(half ? word & 0xffff0000u : word << 16));
  });
}
inline void multiply_add_half(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2],
                              Site site = emulator::here()) {
  detail::multiply_add<16>("mma.f16", d, a, b, site, [](std::uint32_t word, int half) {
    return static_cast<double>(widen_half(static_cast<std::uint16_t>(half ? word >> 16 : word)));
  });
}
inline void multiply_half(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2],
                          Site site = emulator::here()) {
  for (float& value : d) value = 0;
  multiply_add_half(d, a, b, site);
}
inline void multiply_add_tf32(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2],
                              Site site = emulator::here()) {
  detail::multiply_add<8>("mma.tf32", d, a, b, site, [](std::uint32_t word, int) {
    return static_cast<double>(std::bit_cast<float>(word & ~0x1fffu));  // 19 bits are read
  });
}
// D (8, 8) += A (8, 4) B (4, 8)
inline void multiply_add_double(double (&d)[2], double a, double b, Site site = emulator::here()) {
  std::uint64_t words[4] = {std::bit_cast<std::uint64_t>(a), std::bit_cast<std::uint64_t>(b),
                            std::bit_cast<std::uint64_t>(d[0]), std::bit_cast<std::uint64_t>(d[1])};
  emulator::warp_operation("mma.f64", ~0u, words, 4, site, [](emulator::WarpOperands& lanes) EMULATOR_ARITHMETIC {
    for (int lane = 0; lane < 32; lane++)
      for (int i = 0; i < 2; i++) {
        double sum = std::bit_cast<double>(lanes[lane][2 + i]);
        for (int k = 0; k < 4; k++)
          sum = std::fma(std::bit_cast<double>(lanes[lane / 4 * 4 + k][0]),
                         std::bit_cast<double>(lanes[(lane % 4 * 2 + i) * 4 + k][1]), sum);
        lanes[lane][2 + i] = std::bit_cast<std::uint64_t>(sum);
      }
  });
  for (int i = 0; i < 2; i++) d[i] = std::bit_cast<double>(words[2 + i]);
}

// 16 bytes from global to shared memory.
inline void copy_async(void* to, const void* from, Site site = emulator::here()) {
  check_alignment(to, "cp.async", site);
  check_alignment(from, "cp.async", site);
  emulator::AsyncCopy copy{to, from, 16, false};
  bool late;
  {
    const emulator::Bookkeeping own;
    late = emulator::block->how.late_copies;
  }
  if (late) {
    std::memset(to, 0xff, 16);  // a read before the wait gives NaN
  } else {
    detail::land(copy);
    copy.landed = true;
  }
  const emulator::Bookkeeping own;
  emulator::self().open_copies.push_back(copy);
}
inline void commit_copies() {
  const emulator::Bookkeeping own;
  emulator::Thread& thread = emulator::self();
  thread.copy_groups.push_back(std::move(thread.open_copies));
  thread.open_copies.clear();
}
// Waits until at most Groups of the thread's groups are unfinished.
template <int Groups>
void wait_for_copies() {
  while (true) {
    emulator::AsyncCopy copy;
    {
      const emulator::Bookkeeping own;
      auto& groups = emulator::self().copy_groups;
      if (groups.size() <= Groups) return;
      if (groups.front().empty()) {
        groups.erase(groups.begin());
        continue;
      }
      copy = groups.front().back();
      groups.front().pop_back();
    }
    if (!copy.landed) detail::land(copy);
  }
}

}  // namespace gramless::cuda
