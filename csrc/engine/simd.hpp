// Compiler vectors as wide as this translation unit is compiled for. This header, and all that include it, live in the
// ISA's own inline namespace: the same source is compiled once per ISA and the linker must never mix them.
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>

#ifndef GRAMLESS_ISA
#error "compile with -DGRAMLESS_ISA=<name>: the namespace of this ISA's code"
#endif

#if !defined(GRAMLESS_VECTOR_BYTES)  // tests set it to try the widths this machine has no instructions for
#if defined(__AVX512F__)
#define GRAMLESS_VECTOR_BYTES 64
#elif defined(__AVX__)
#define GRAMLESS_VECTOR_BYTES 32
#else
#define GRAMLESS_VECTOR_BYTES 16
#endif
#endif

#define GRAMLESS_INLINE inline __attribute__((always_inline))

namespace gramless {
inline namespace GRAMLESS_ISA {

constexpr int vector_bytes = GRAMLESS_VECTOR_BYTES;

template <class T, int Lanes = vector_bytes / static_cast<int>(sizeof(T))>
struct VectorType {
  typedef T type __attribute__((vector_size(Lanes * sizeof(T))));
};
template <class T, int Lanes = vector_bytes / static_cast<int>(sizeof(T))>
using Vector = typename VectorType<T, Lanes>::type;

template <class T>
constexpr int lanes = vector_bytes / static_cast<int>(sizeof(T));

template <class T>
using Bits =
    std::conditional_t<sizeof(T) == 4, std::int32_t, std::int64_t>;  // a lane's bits, and a comparison's answer

template <class V, class T>
GRAMLESS_INLINE V load(const T* address) {
  V value;
  std::memcpy(&value, address, sizeof value);
  return value;
}

template <class V, class T>
GRAMLESS_INLINE void store(T* address, V value) {
  std::memcpy(address, &value, sizeof value);
}

template <class T>
GRAMLESS_INLINE Vector<T> splat(T value) {
  return value - Vector<T>{};  // value - 0 is exact, also for -0, so it compiles to a broadcast
}

// 0, 1, 2, ... in the lanes.
template <class T>
GRAMLESS_INLINE Vector<Bits<T>> lane_numbers() {
  Vector<Bits<T>> numbers{};
  for (int lane = 0; lane < lanes<T>; lane++) numbers[lane] = lane;
  return numbers;
}

// In float64, in lane order: the only place where lanes of float32 partial sums meet.
template <class T>
GRAMLESS_INLINE double horizontal_sum(Vector<T> value) {
  double sum = 0;
  for (int lane = 0; lane < lanes<T>; lane++) sum += static_cast<double>(value[lane]);
  return sum;
}

}  // namespace GRAMLESS_ISA
}  // namespace gramless
