// Compiler vectors as wide as this translation unit is compiled for. This header, and all that include it, live in the
// ISA's own inline namespace: the same source is compiled once per ISA and the linker must never mix them.
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

#if defined(__AVX512F__)
#include <immintrin.h>
#endif

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
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define GRAMLESS_INLINE_LAMBDA  // checked accesses, inlined so often, take minutes to compile
#else
#define GRAMLESS_INLINE_LAMBDA __attribute__((always_inline))  // after its parameters
#endif

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
    std::conditional_t<sizeof(T) == 4, std::int32_t, std::int64_t>;  // a lane's bits, and the result of a comparison

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

// Several vectors evaluated by one formula side by side. An out-of-order core has a limited window of instructions:
// long chains of dependent instructions one after the other leave its pipelines half idle, interleaved they fill them.
template <class T, int Count>
struct Bundle {
  Vector<T> parts[Count];

  template <class Make>
  GRAMLESS_INLINE static Bundle of(Make make) {
    Bundle made;
#pragma GCC unroll 8
    for (int p = 0; p < Count; p++) made.parts[p] = make(p);
    return made;
  }
  friend GRAMLESS_INLINE Bundle operator+(const Bundle& a, const Bundle& b) {
    return of([&](int p) { return a.parts[p] + b.parts[p]; });
  }
  friend GRAMLESS_INLINE Bundle operator-(const Bundle& a, const Bundle& b) {
    return of([&](int p) { return a.parts[p] - b.parts[p]; });
  }
  friend GRAMLESS_INLINE Bundle operator*(const Bundle& a, const Bundle& b) {
    return of([&](int p) { return a.parts[p] * b.parts[p]; });
  }
  friend GRAMLESS_INLINE Bundle operator+(const Bundle& a, T b) {
    return of([&](int p) { return a.parts[p] + b; });
  }
  friend GRAMLESS_INLINE Bundle operator-(const Bundle& a, T b) {
    return of([&](int p) { return a.parts[p] - b; });
  }
  friend GRAMLESS_INLINE Bundle operator*(const Bundle& a, T b) {
    return of([&](int p) { return a.parts[p] * b; });
  }
  friend GRAMLESS_INLINE Bundle at_least(const Bundle& a, T lowest) {  // NaN stays NaN
    const Vector<T> least = splat(lowest);
    return of([&](int p) { return least > a.parts[p] ? least : a.parts[p]; });
  }
};

// Stores the lanes of nonnegative values from `first` to `last`, given by their bits, side by side, and returns how
// many. Writes a whole vector at most.
template <class T>
GRAMLESS_INLINE int store_between(T* to, Vector<T> values, Bits<T> first, Bits<T> last) {
#if defined(__AVX512F__)
  if constexpr (vector_bytes == 64 && sizeof(T) == 4) {
    const __m512i above = _mm512_sub_epi32(reinterpret_cast<__m512i>(values), _mm512_set1_epi32(first));
    const __mmask16 inside = _mm512_cmple_epu32_mask(above, _mm512_set1_epi32(last - first));
    store(to, _mm512_maskz_compress_ps(inside, values));  // compressing into memory is microcode on Zen 4
    return __builtin_popcount(inside);
  } else if constexpr (vector_bytes == 64) {
    const __m512i above = _mm512_sub_epi64(reinterpret_cast<__m512i>(values), _mm512_set1_epi64(first));
    const __mmask8 inside = _mm512_cmple_epu64_mask(above, _mm512_set1_epi64(last - first));
    store(to, _mm512_maskz_compress_pd(inside, values));
    return __builtin_popcount(inside);
  }
#endif
  const auto bits = reinterpret_cast<Vector<Bits<T>>>(values);
  const Vector<Bits<T>> inside = (bits >= first) & (bits <= last);
  Bits<T> some = 0;
  for (int lane = 0; lane < lanes<T>; lane++) some |= inside[lane];
  if (some == 0) return 0;
  int count = 0;
  for (int lane = 0; lane < lanes<T>; lane++) {  // no branch: most would be mispredicted
    to[count] = values[lane];
    count -= static_cast<int>(inside[lane]);  // a true lane is -1
  }
  return count;
}

// counts[lane]++ where a[lane] < b.
template <class T>
GRAMLESS_INLINE void count_less(Vector<Bits<T>>& counts, Vector<T> a, Vector<T> b) {
#if defined(__AVX512F__)
  if constexpr (vector_bytes == 64 && sizeof(T) == 4) {  // one instruction on the mask, of which GCC makes three
    const auto before = reinterpret_cast<__m512i>(counts);
    counts = reinterpret_cast<Vector<Bits<T>>>(
        _mm512_mask_sub_epi32(before, _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), before, _mm512_set1_epi32(-1)));
    return;
  }
#endif
  counts -= a < b;  // a true lane is -1
}

// 0, 1, 2, ... in the lanes.
template <class T>
GRAMLESS_INLINE Vector<Bits<T>> lane_numbers() {
  Vector<Bits<T>> numbers{};
  for (int lane = 0; lane < lanes<T>; lane++) numbers[lane] = lane;
  return numbers;
}

namespace detail {

template <int First, class V, int... Lane>
GRAMLESS_INLINE auto lanes_from(V value, std::integer_sequence<int, Lane...>) {
  return __builtin_shufflevector(value, value, (First + Lane)...);
}

}  // namespace detail

// The sum of the lanes in float64, adding halves until one lane is left: the only place where lanes of float32 partial
// sums are added.
template <class T, int Lanes = lanes<T>>
GRAMLESS_INLINE double horizontal_sum(Vector<T, Lanes> value) {
  if constexpr (Lanes == 2) {
    return static_cast<double>(value[0]) + static_cast<double>(value[1]);
  } else {
    constexpr auto half = std::make_integer_sequence<int, Lanes / 2>{};
    using Half = Vector<double, Lanes / 2>;
    return horizontal_sum<double, Lanes / 2>(__builtin_convertvector(detail::lanes_from<0>(value, half), Half) +
                                             __builtin_convertvector(detail::lanes_from<Lanes / 2>(value, half), Half));
  }
}

}  // namespace GRAMLESS_ISA
}  // namespace gramless
