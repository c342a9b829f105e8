// exp on vectors, without -ffast-math: NaN stays NaN.
#pragma once

#include "engine/instructions/simd.hpp"
#include "epilogues/exp_constants.hpp"

namespace gramless {
inline namespace GRAMLESS_ISA {

namespace detail {

template <class T, int Terms>
GRAMLESS_INLINE Vector<T> polynomial(const T (&series)[Terms], Vector<T> x) {
  Vector<T> sum = splat(series[Terms - 1]);
#pragma GCC unroll 16
  for (int i = Terms - 2; i >= 0; i--) sum = sum * x + series[i];
  return sum;
}

// 2^n from n + round_shift.
template <class T>
GRAMLESS_INLINE Vector<T> power_of_two(Vector<T> shifted) {
  return reinterpret_cast<Vector<T>>(reinterpret_cast<Vector<Bits<T>>>(shifted) << ExpConstants<T>::mantissa_bits);
}

}  // namespace detail

// exp(x) - subtrahend for x <= highest, x below lowest taken as lowest. With e^x = 2^n e^r it is
// 2^n (e^r - 1) + (2^n - subtrahend): near x = 0 and for the subtrahend 1 no digit is lost, as in expm1.
template <class T>
GRAMLESS_INLINE Vector<T> exp_minus(Vector<T> x, T subtrahend) {
  using Constant = ExpConstants<T>;
  const Vector<T> lowest = splat(Constant::lowest);
  x = lowest > x ? lowest : x;  // in this order NaN passes
  const Vector<T> shifted = x * Constant::log2_e + Constant::round_shift;
  const Vector<T> power = shifted - Constant::round_shift;
  const Vector<T> rest = (x - power * Constant::ln2_high) - power * Constant::ln2_low;
  const Vector<T> grown = (detail::polynomial(Constant::series, rest) * rest + T(1)) * rest;
  const Vector<T> scale = detail::power_of_two<T>(shifted);
  return grown * scale + (scale - subtrahend);
}

namespace detail {

// x minus the nearest sixteenth; `shifted` is x rounded to it.
GRAMLESS_INLINE Vector<float> less_sixteenths(Vector<float> x, [[maybe_unused]] Vector<float> shifted) {
#if defined(__AVX512DQ__) && GRAMLESS_VECTOR_BYTES == 64
  asm("vreduceps $0x48, %1, %0" : "=v"(x) : "v"(x));  // one instruction that depends on x alone; 4: fraction bits
  return x;
#else
  return x - (shifted - SixteenthPowers::round_shift);
#endif
}

// table[index modulo the lanes] for every lane.
template <class T>
GRAMLESS_INLINE Vector<T> look_up(const T* table, Vector<std::int32_t> indices) {
#if !defined(__clang__)
  return __builtin_shuffle(load<Vector<T>>(table), indices);
#elif defined(__AVX512F__) && GRAMLESS_VECTOR_BYTES == 64
  using Integers = Vector<std::int32_t>;
  const auto found = __builtin_ia32_permvarsi512(reinterpret_cast<Integers>(load<Vector<T>>(table)), indices);
  return reinterpret_cast<Vector<T>>(found);
#else
  Vector<T> found;
  for (int i = 0; i < lanes<T>; i++) found[i] = table[indices[i] & (lanes<T> - 1)];
  return found;
#endif
}

}  // namespace detail

// The same with a table of sixteenths, which one vector of sixteen floats holds: three terms less of the series, and
// the other instructions run on execution units that do not multiply.
template <int Count>
GRAMLESS_INLINE Bundle<float, Count> exp2_minus_in_sixteenths(const Bundle<float, Count>& x, float subtrahend) {
  using Constant = SixteenthPowers;
  using Values = Bundle<float, Count>;
  const Values shifted = x + Constant::round_shift;
  const Values rest = Values::of([&](int p) { return detail::less_sixteenths(x.parts[p], shifted.parts[p]); });
  const Values sum = (rest * Constant::series[2] + Constant::series[1]) * rest + Constant::series[0];
  using Integers = Vector<std::int32_t>;
  const auto bits_of = [&](int p) { return reinterpret_cast<Integers>(shifted.parts[p]); };
  const Values scale = Values::of([&](int p) {
    const Integers bits = bits_of(p), exponent_bits = Integers{} - (1 << 23);
    const Integers mantissas = detail::look_up(Constant::mantissas, bits);
    return reinterpret_cast<Vector<float>>(((bits << 19) & exponent_bits) | mantissas);
  });
  const Values rounded_away = Values::of([&](int p) { return detail::look_up(Constant::rounded_away, bits_of(p)); });
  return (sum * rest + rounded_away) * scale + (scale - subtrahend);
}

// 2^x - subtrahend in the same way, for |x| <= highest2 only.
template <class T, int Count>
GRAMLESS_INLINE Bundle<T, Count> exp2_minus(const Bundle<T, Count>& x, T subtrahend) {
  if constexpr (sizeof(T) == 4 && vector_bytes == 64) return exp2_minus_in_sixteenths(x, subtrahend);
  using Constant = ExpConstants<T>;
  using Values = Bundle<T, Count>;
  const Values shifted = x + Constant::round_shift, rest = x - (shifted - Constant::round_shift);
  constexpr int terms = sizeof Constant::series2 / sizeof(T);
  Values sum = rest * Constant::series2[terms - 1] + Constant::series2[terms - 2];
#pragma GCC unroll 16
  for (int i = terms - 3; i >= 0; i--) sum = sum * rest + Constant::series2[i];
  const Values scale = Values::of([&](int p) { return detail::power_of_two<T>(shifted.parts[p]); });
  return sum * rest * scale + (scale - subtrahend);
}

}  // namespace GRAMLESS_ISA
}  // namespace gramless
