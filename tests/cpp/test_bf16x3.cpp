// Thirds of float32: their sum is the number, and what the matrix unit makes of them is a product of rows.
#include "engine/pack/pack_bf16x3.hpp"

#include <cmath>

#include "check.hpp"
#include "matrices.hpp"

namespace gramless {
inline namespace GRAMLESS_ISA {
namespace {

float as_float(Thirds::Word bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

// The value at (row, k) of a block packed as a left factor.
float sum_of_thirds(const Thirds& thirds, int row, int k) {
  float sum = 0;
  for (int third = 2; third >= 0; third--) {
    const Thirds::Word word = thirds.parts[third][row][k % Thirds::side];
    sum += as_float(k < Thirds::side ? word << 16 : word & 0xFFFF0000u);
  }
  return sum;
}

std::vector<float> awkward_values() {
  std::vector<float> values;
  for (int e = 0; e < Thirds::side * Thirds::depth; e++)
    values.push_back(std::ldexp(std::sin(static_cast<float>(e) + 1.0f) + (e % 3 ? 0x1p-8f : -0x1p-9f), e % 90 - 45));
  values[5] = 0;
  values[6] = -0.0f;
  values[7] = 0x1.fffffep0f;  // all 24 bits, rounded up in its first third
  values[8] = 0x1.008p0f;     // a tie of the first third
  values[9] = -0x1.010101p0f;
  return values;
}

TEST(thirds_add_up_to_the_number) {
  const std::vector<float> values = awkward_values(), zeros(Thirds::depth);
  const CenteredRows<float> rows{
      {values.data(), Thirds::side, Thirds::depth, Thirds::depth * 4, 4, Dtype::float32, nullptr},
      zeros.data(),
      zeros.data()};
  Thirds thirds[2];
  pack_thirds<Factor::left>(rows, 0, Thirds::side, 0, Thirds::depth, thirds);
  for (int r = 0; r < Thirds::side; r++)
    for (int k = 0; k < Thirds::depth; k++)
      CHECK(sum_of_thirds(thirds[0], r, k) == values[static_cast<std::size_t>(r * Thirds::depth + k)]);
  for (int k = 0; k < Thirds::depth; k++) CHECK(sum_of_thirds(thirds[1], 3, k) == 0);  // rows that are not there
}

TEST(a_nan_stays_one_in_its_thirds) {
  std::vector<float> values = awkward_values();
  const std::vector<float> zeros(Thirds::depth);
  for (const Thirds::Word bits : {0x7FC00000u, 0x7FFFFFFFu, 0xFFFFFFFFu, 0x7F800001u}) {
    values[40] = as_float(bits);
    const CenteredRows<float> rows{
        {values.data(), Thirds::side, Thirds::depth, Thirds::depth * 4, 4, Dtype::float32, nullptr},
        zeros.data(),
        zeros.data()};
    Thirds thirds[2];
    pack_thirds<Factor::left>(rows, 0, Thirds::side, 0, Thirds::depth, thirds);
    CHECK(std::isnan(sum_of_thirds(thirds[0], 1, 8)));
    CHECK(sum_of_thirds(thirds[0], 1, 9) == values[41]);
  }
}

// Every layout packs to the same words, as either factor.
TEST(thirds_do_not_depend_on_the_layout) {
  constexpr std::int64_t rows = 37, depth = 75;
  const testing::Matrix x(Dtype::float32, rows, depth, 1);
  const std::vector<float> centers = testing::random_integers<float>(depth, 4), zeros(depth);
  std::vector<float> transposed(rows * depth);
  for (std::int64_t i = 0; i < rows; i++)
    for (std::int64_t k = 0; k < depth; k++)
      transposed[static_cast<std::size_t>(k * rows + i)] = static_cast<float>(x.value(i, k));
  const ArrayView across{transposed.data(), rows, depth, 4, rows * 4, Dtype::float32, nullptr};
  const auto check = [&]<Factor For>() {
    std::vector<Thirds> packed(2 * 2 * 3), other(2 * 2 * 3);
    pack_thirds<For>({x.view(), centers.data(), zeros.data()}, 0, rows, 0, depth, packed.data());
    pack_thirds<For>({across, centers.data(), zeros.data()}, 0, rows, 0, depth, other.data());
    CHECK(std::memcmp(packed.data(), other.data(), packed.size() * sizeof(Thirds)) == 0);
  };
  check.operator()<Factor::left>();
  check.operator()<Factor::right>();
}

}  // namespace
}  // namespace GRAMLESS_ISA
}  // namespace gramless
