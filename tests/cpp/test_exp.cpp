// exp against the C library in the next wider type.
#include "epilogues/exp.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "check.hpp"

namespace gramless {
inline namespace GRAMLESS_ISA {
namespace {

template <class T>
T exp_minus_of(T x, T subtrahend) {
  const Vector<T> answers = exp_minus<T>(splat(x), subtrahend);
  for (int lane = 1; lane < lanes<T>; lane++) CHECK(std::isnan(answers[0]) || answers[lane] == answers[0]);
  return answers[0];
}

// The error in units of the last place of the exact value.
template <class T>
double ulps(T ours, long double truth) {
  const T rounded = static_cast<T>(truth);
  const long double unit = std::nextafter(std::abs(rounded), std::numeric_limits<T>::infinity()) - std::abs(rounded);
  return static_cast<double>(std::abs(static_cast<long double>(ours) - truth) / unit);
}

template <class T>
double worst_ulps(T from, T to, T subtrahend, int samples) {
  double worst = 0;
  for (int s = 0; s <= samples; s++) {
    const T x = from + (to - from) * static_cast<T>(s) / static_cast<T>(samples);
    const long double truth =
        subtrahend == 0 ? std::exp(static_cast<long double>(x)) : std::expm1(static_cast<long double>(x));
    worst = std::max(worst, ulps(exp_minus_of<T>(x, subtrahend), truth));
  }
  return worst;
}

TEST(exp_is_within_two_ulps_over_its_whole_range) {
  CHECK(worst_ulps<float>(-87.0f, 88.0f, 0, 200000) < 2);
  CHECK(worst_ulps<double>(-708, 709, 0, 200000) < 2);
}

TEST(exp_minus_one_loses_no_digit_near_zero) {
  CHECK(worst_ulps<float>(-0.3f, 0.3f, 1, 100001) < 3);
  CHECK(worst_ulps<float>(-1e-5f, 1e-5f, 1, 1001) < 2);
  CHECK(worst_ulps<double>(-0.3, 0.3, 1, 100001) < 3);
  CHECK(worst_ulps<double>(-1e-9, 1e-9, 1, 1001) < 2);
}

template <class T>
void check_special_values() {
  const T infinity = std::numeric_limits<T>::infinity(), lowest = ExpConstants<T>::lowest;
  CHECK(std::isnan(exp_minus_of<T>(std::numeric_limits<T>::quiet_NaN(), 0)));
  CHECK(exp_minus_of<T>(0, 0) == 1);
  CHECK(exp_minus_of<T>(-T(0), 1) == 0);
  CHECK(exp_minus_of<T>(-infinity, 0) == exp_minus_of<T>(lowest, 0));
  CHECK(exp_minus_of<T>(2 * lowest, 0) == exp_minus_of<T>(lowest, 0));
  CHECK(exp_minus_of<T>(-infinity, 0) < 10 * std::numeric_limits<T>::min());
  CHECK(exp_minus_of<T>(-infinity, T(0.5)) == T(-0.5));
}

template <class T>
double worst_ulps_of_exp2(T from, T to, T subtrahend, int samples) {
  double worst = 0;
  for (int s = 0; s <= samples; s++) {
    const T x = from + (to - from) * static_cast<T>(s) / static_cast<T>(samples);
    const long double exponent = static_cast<long double>(x) * std::numbers::ln2_v<long double>;
    const T ours = exp2_minus<T>(Bundle<T, 1>{splat(x)}, subtrahend).parts[0][0];
    worst = std::max(worst, ulps(ours, subtrahend == 0 ? std::exp(exponent) : std::expm1(exponent)));
  }
  return worst;
}

TEST(powers_of_two_are_as_accurate_as_exp) {
  CHECK(worst_ulps_of_exp2<float>(-125, 125, 0, 200000) < 2);
  CHECK(worst_ulps_of_exp2<double>(-1021, 1021, 0, 200000) < 2);
  CHECK(worst_ulps_of_exp2<float>(-0.4f, 0.4f, 1, 100001) < 3);
  CHECK(worst_ulps_of_exp2<float>(-1e-5f, 1e-5f, 1, 1001) < 2);
  CHECK(worst_ulps_of_exp2<double>(-0.4, 0.4, 1, 100001) < 3);
  CHECK(worst_ulps_of_exp2<double>(-1e-9, 1e-9, 1, 1001) < 2);
  const Vector<float> nan = exp2_minus<float>(Bundle<float, 1>{splat(NAN)}, 0).parts[0];
  CHECK(std::isnan(nan[0]));
}

TEST(special_values_keep_their_meaning) {
  check_special_values<float>();
  check_special_values<double>();
}

TEST(lanes_do_not_mix) {
  Vector<float> x;
  for (int lane = 0; lane < lanes<float>; lane++) x[lane] = lane == 1 ? NAN : -static_cast<float>(lane);
  const Vector<float> answers = exp_minus<float>(x, 0);
  for (int lane = 0; lane < lanes<float>; lane++)
    CHECK(lane == 1 ? std::isnan(answers[lane]) : answers[lane] == exp_minus_of<float>(x[lane], 0));
}

}  // namespace
}  // namespace GRAMLESS_ISA
}  // namespace gramless
