// Logarithms and powers on vectors, without -ffast-math: NaN stays NaN.
#pragma once

#include "epilogues/exp.hpp"

namespace gramless {
inline namespace GRAMLESS_ISA {

// root_half: the bits of sqrt(1/2). series: log2(m) / t as a polynomial in t^2, t = (m - 1) / (m + 1) of at most 0.172;
// its truncation errors are below 2e-9 and 1e-17.
template <class T>
struct LogConstants;
template <>
struct LogConstants<float> {
  static constexpr std::int32_t root_half = 0x3f3504f3;
  static constexpr float series[] = {2.885390082f, 0.961796694f, 0.577078016f, 0.412198583f, 0.320598898f};
};
template <>
struct LogConstants<double> {
  static constexpr std::int64_t root_half = 0x3fe6a09e667f3bcd;
  static constexpr double two_by_ln2 = 2.8853900817779268;
  static constexpr double series[] = {two_by_ln2,      two_by_ln2 / 3,  two_by_ln2 / 5,  two_by_ln2 / 7,
                                      two_by_ln2 / 9,  two_by_ln2 / 11, two_by_ln2 / 13, two_by_ln2 / 15,
                                      two_by_ln2 / 17, two_by_ln2 / 19, two_by_ln2 / 21, two_by_ln2 / 23};
};

// log2 of positive normal numbers.
template <class T>
GRAMLESS_INLINE Vector<T> log2_of(Vector<T> x) {
  using Constant = LogConstants<T>;
  constexpr int mantissa_bits = ExpConstants<T>::mantissa_bits;
  const auto bits = reinterpret_cast<Vector<Bits<T>>>(x);
  const Vector<Bits<T>> power = (bits - Constant::root_half) >> mantissa_bits;
  const auto mantissa = reinterpret_cast<Vector<T>>(bits - (power << mantissa_bits));
  const Vector<T> t = (mantissa - T(1)) / (mantissa + T(1));
  return __builtin_convertvector(power, Vector<T>) + detail::polynomial(Constant::series, t * t) * t;
}

// x^exponent - subtrahend for numbers that are not negative, with the accuracy of exp2_minus. 0^exponent is 0, infinity
// becomes NaN.
template <class T, int Count>
GRAMLESS_INLINE Bundle<T, Count> power_minus(const Bundle<T, Count>& x, T exponent, T subtrahend) {
  using Values = Bundle<T, Count>;
  const Values exponents = Values::of([&](int p) {
    const Vector<T> wanted = log2_of<T>(x.parts[p]) * exponent, highest = splat(ExpConstants<T>::highest2);
    return highest > wanted ? wanted : highest;
  });
  const Values powers = exp2_minus<T>(at_least(exponents, -ExpConstants<T>::highest2), subtrahend);
  const Vector<T> none = splat(-subtrahend);
  return Values::of([&](int p) {
    const Vector<T> or_nan = x.parts[p] - x.parts[p];
    return x.parts[p] == Vector<T>{} ? none : powers.parts[p] + or_nan;
  });
}

}  // namespace GRAMLESS_ISA
}  // namespace gramless
