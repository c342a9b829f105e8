// Constants of exp: a range reduction and a polynomial for each float type, used by vectors and by CUDA.
#pragma once

namespace gramless {
inline namespace GRAMLESS_ISA {

template <class T>
struct ExpConstants;

// least: the exponent of a term that is 2e-28 (1e-278) of a sum's largest term. round_shift adds the exponent bias in
// the low bits of a rounded sum, so that a left shift turns it into 2^n. series: (e^r - 1 - r) / r^2 on |r| <= ln(2)/2,
// minimax of degree 4 (3e-9) in float32, Chebyshev of degree 10 in float64. series2: (2^r - 1) / r on |r| <= 1/2,
// Chebyshev of degree 5 (2e-8) and 10 (5e-17), coefficients rounded.
template <>
struct ExpConstants<float> {
  static constexpr float lowest = -87.0f, least = -64.0f, highest = 88.0f, highest2 = 125.0f,
                         round_shift = 12582912.0f + 127.0f;
  static constexpr float log2_e = 1.44269504f, ln2_high = 0.693145751953125f, ln2_low = 1.428606765330187e-06f;
  static constexpr int mantissa_bits = 23;
  static constexpr float series[] = {0.4999999403953552f, 0.1666652113199234f, 0.04166838899254799f,
                                     0.0083687175065279f, 0.0013814596459269524f};
  static constexpr float series2[] = {0.6931471824645996f,   0.24022650718688965f,   0.055503569543361664f,
                                      0.009618083015084267f, 0.0013390863314270973f, 0.00015453163359779865f};
};

// The same with 2^n in sixteenths: the mantissas of the powers without their leading bit, and separately what they are
// rounded by. series: (2^r - 1) / r on |r| <= 1/32, Chebyshev of degree 2 (2e-9).
struct SixteenthPowers {
  static constexpr float round_shift = 786432.0f + 127.0f;
  static constexpr float series[] = {0.6931471824645996f, 0.24023355543613434f, 0.055505409836769104f};
  static constexpr float rounded_away[] = {0,
                                           4.6285471e-8f,
                                           -1.1992157e-8f,
                                           4.7297824e-8f,
                                           3.1934181e-8f,
                                           3.6210573e-8f,
                                           -3.0990721e-8f,
                                           -7.4752132e-9f,
                                           1.7114271e-8f,
                                           -3.0476834e-8f,
                                           5.2333342e-9f,
                                           6.1075916e-9f,
                                           -1.4719605e-8f,
                                           -5.2587951e-9f,
                                           -6.1282598e-9f,
                                           5.1406092e-9f};
  static constexpr int mantissas[] = {0x000000, 0x05aac3, 0x0b95c2, 0x11c3d3, 0x1837f0, 0x1ef532, 0x25fed7, 0x2d583f,
                                      0x3504f3, 0x3d08a4, 0x45672a, 0x4e248c, 0x5744fd, 0x60ccdf, 0x6ac0c7, 0x75257d};
};

template <>
struct ExpConstants<double> {
  static constexpr double lowest = -708.0, least = -640.0, highest = 709.0, highest2 = 1021.0,
                          round_shift = 6755399441055744.0 + 1023.0;
  static constexpr double log2_e = 1.4426950408889634, ln2_high = 0.693147180369123816490,
                          ln2_low = 1.90821492927058770002e-10;
  static constexpr int mantissa_bits = 52;
  static constexpr double series[] = {0.5,
                                      0.1666666666666667,
                                      0.04166666666666666,
                                      0.008333333333326186,
                                      0.001388888888889091,
                                      0.00019841269874718622,
                                      2.480158730900555e-05,
                                      2.7557255478721557e-06,
                                      2.7557288421657214e-07,
                                      2.510519632432802e-08,
                                      2.091016812398899e-09};
  static constexpr double series2[] = {0.6931471805599453,    0.24022650695910097,   0.0555041086648216,
                                       0.009618129107606888,  0.0013333558146416936, 0.0001540353044173605,
                                       1.525273382983612e-05, 1.321544258792169e-06, 1.0178062445845774e-07,
                                       7.072585949269223e-09, 4.4549605981865186e-10};
};

}  // namespace GRAMLESS_ISA
}  // namespace gramless
