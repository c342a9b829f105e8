// Stored element types: every bit pattern of the two 16-bit floats, and elements at odd addresses.
#include "support/dtype.hpp"

#include <cmath>
#include <limits>

#include "check.hpp"

namespace gramless {
namespace {

float half_by_definition(unsigned bits) {
  const unsigned exponent = bits >> 10 & 31, fraction = bits & 1023;
  double magnitude = std::ldexp(1024 + fraction, static_cast<int>(exponent) - 25);
  if (exponent == 0) magnitude = std::ldexp(fraction, -24);
  if (exponent == 31) magnitude = fraction ? NAN : INFINITY;
  return static_cast<float>(bits >> 15 ? -magnitude : magnitude);
}

bool same_float(float a, float b) {
  if (std::isnan(a) || std::isnan(b)) return std::isnan(a) && std::isnan(b);
  return a == b && std::signbit(a) == std::signbit(b);
}

TEST(every_half_widens_to_its_value) {
  for (unsigned bits = 0; bits < 65536; bits++)
    CHECK(same_float(widen(Half{static_cast<std::uint16_t>(bits)}), half_by_definition(bits)));
}

TEST(every_bfloat16_is_the_upper_half_of_a_float) {
  for (std::uint32_t bits = 0; bits < 65536; bits++)
    CHECK(same_float(widen(BFloat16{static_cast<std::uint16_t>(bits)}), std::bit_cast<float>(bits << 16)));
}

TEST(elements_load_from_odd_addresses) {
  char memory[16] = {};
  const std::int64_t large = std::numeric_limits<std::int64_t>::max();
  std::memcpy(memory + 1, &large, sizeof large);
  CHECK(load_element<double, std::int64_t>(memory + 1) == 0x1p63);
  const float third = 1.0f / 3;
  std::memcpy(memory + 3, &third, sizeof third);
  CHECK(load_element<float, float>(memory + 3) == third);
  CHECK(load_element<double, float>(memory + 3) == static_cast<double>(third));
}

TEST(dtypes_are_visited_with_their_size) {
  constexpr int sizes[] = {4, 8, 2, 2, 1, 2, 4, 8, 1, 2, 4, 8, 1};
  for (int dtype = 0; dtype <= static_cast<int>(Dtype::boolean); dtype++) {
    int size = 0;
    visit_dtype(static_cast<Dtype>(dtype), [&]<class Stored>() { size = sizeof(Stored); });
    CHECK(size == sizes[dtype]);
  }
}

TEST(only_types_a_float32_cannot_hold_compute_in_float64) {
  for (int number = 0; number <= static_cast<int>(Dtype::boolean); number++) {
    const Dtype dtype = static_cast<Dtype>(number);
    visit_dtype(dtype, [&]<class Stored>() {
      CHECK(computes_in_float64(dtype) == (sizeof(Stored) == 8 || (sizeof(Stored) == 4 && dtype != Dtype::float32)));
    });
  }
}

}  // namespace
}  // namespace gramless
