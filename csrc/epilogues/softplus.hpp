// Epilogue of the sigmoid loss: a dot product becomes a logit, that its softplus and its sigmoid.
#pragma once

#include <cmath>

#include "epilogues/exp.hpp"

namespace gramless {
inline namespace GRAMLESS_ISA {

// (atanh(s) / s - 1) / s^2 as a polynomial in s^2 for |s| <= 1/3, by Chebyshev nodes. Its error relative to atanh(s) /
// s is 4e-10 in float32 and 5e-18 in float64.
template <class T>
struct AtanhSeries;

template <>
struct AtanhSeries<float> {
  static constexpr float terms[] = {0.3333333432674408f, 0.19999852776527405f, 0.142961785197258f, 0.1085328757762909f,
                                    0.11612164974212646f};
};

template <>
struct AtanhSeries<double> {
  static constexpr double terms[] = {0.3333333333333333,  0.20000000000007292, 0.1428571428355438,  0.11111111358713932,
                                     0.09090894718066429, 0.07692785032479312, 0.06657072104827468, 0.06000536404795356,
                                     0.04400369243072337, 0.08082022805971766};
};

// softplus(x) = log(1 + e^x), and its derivative 1 / (1 + e^-x).
template <class V>
struct Softplus {
  V value, slope;
};

// With e = exp(-|x|) the value is max(x, 0) + log1p(e), log1p(e) = 2 atanh(s), s = e / (2 + e): no digit is lost where
// e is small. One division serves both denominators. Where e leaves the normal numbers it counts as 0.
template <class T>
GRAMLESS_INLINE Softplus<Vector<T>> softplus(Vector<T> x) {
  using V = Vector<T>;
  const V zero{}, one = splat(T(1)), below = x < zero ? x : -x;
  const V e = below < splat(ExpConstants<T>::lowest) ? zero : exp_minus<T>(below, T(0));  // NaN passes, here and below
  const V sum = e + T(1), next = e + T(2), inverse = T(1) / (sum * next);
  const V s = e * (inverse * sum), square = s * s, twice = s + s;
  const V log1p = twice * square * detail::polynomial(AtanhSeries<T>::terms, square) + twice;
  return {(x > zero ? x : zero) + log1p, (x < zero ? e : one) * (inverse * next)};
}

// Softplus and sigmoid of a pair's logit, scale * dot + bias.
template <class T>
struct PairLogit {
  GRAMLESS_INLINE Softplus<Vector<T>> negative(Vector<T> dot) const { return softplus<T>(dot * scale + bias); }

  // softplus(-logit) of a positive and its derivative with respect to the logit, in float64: late in training the sum
  // of the negatives nearly cancels it.
  Softplus<double> positive(T dot) const {
    const double x = -(static_cast<double>(scale) * static_cast<double>(dot) + static_cast<double>(bias));
    const double e = std::exp(-std::abs(x));
    return {(x > 0 ? x : 0) + std::log1p(e), -(x < 0 ? e : 1) / (1 + e)};
  }

  T scale, bias;
};

}  // namespace GRAMLESS_ISA
}  // namespace gramless
