// Three bfloat16 of a float32: their sum is the number, and the matrix unit's products of them are products of rows.
#include "engine/pack/pack_bf16x3.hpp"

#include <cmath>

#include "check.hpp"
#include "matrices.hpp"

namespace gramless {
inline namespace GRAMLESS_ISA {
namespace {

float as_float(Bf16x3::Word bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

// The value at (row, k) of a block packed as a left factor.
float sum_of_parts(const Bf16x3& bf16x3, int row, int k) {
  float sum = 0;
  for (int part = 2; part >= 0; part--) {
    const Bf16x3::Word word = bf16x3.parts[part][row][k % Bf16x3::side];
    sum += as_float(k < Bf16x3::side ? word << 16 : word & 0xFFFF0000u);
  }
  return sum;
}

std::vector<float> awkward_values() {
  std::vector<float> values;
  for (int e = 0; e < Bf16x3::side * Bf16x3::depth; e++)
    values.push_back(std::ldexp(std::sin(static_cast<float>(e) + 1.0f) + (e % 3 ? 0x1p-8f : -0x1p-9f), e % 90 - 45));
  values[5] = 0;
  values[6] = -0.0f;
  values[7] = 0x1.fffffep0f;  // all 24 bits, rounded up in its first part
  values[8] = 0x1.008p0f;     // a tie of the first part
  values[9] = -0x1.010101p0f;
  return values;
}

TEST(bf16x3_parts_add_up_to_the_number) {
  const std::vector<float> values = awkward_values(), zeros(Bf16x3::depth);
  const CenteredRows<float> rows{
      {values.data(), Bf16x3::side, Bf16x3::depth, Bf16x3::depth * 4, 4, Dtype::float32, nullptr},
      zeros.data(),
      zeros.data()};
  Bf16x3 bf16x3[2];
  pack_bf16x3<Factor::left>(rows, 0, Bf16x3::side, 0, Bf16x3::depth, bf16x3);
  for (int r = 0; r < Bf16x3::side; r++)
    for (int k = 0; k < Bf16x3::depth; k++)
      CHECK(sum_of_parts(bf16x3[0], r, k) == values[static_cast<std::size_t>(r * Bf16x3::depth + k)]);
  for (int k = 0; k < Bf16x3::depth; k++) CHECK(sum_of_parts(bf16x3[1], 3, k) == 0);  // rows past the end
}

TEST(a_nan_stays_one_in_its_parts) {
  std::vector<float> values = awkward_values();
  const std::vector<float> zeros(Bf16x3::depth);
  for (const Bf16x3::Word bits : {0x7FC00000u, 0x7FFFFFFFu, 0xFFFFFFFFu, 0x7F800001u}) {
    values[40] = as_float(bits);
    const CenteredRows<float> rows{
        {values.data(), Bf16x3::side, Bf16x3::depth, Bf16x3::depth * 4, 4, Dtype::float32, nullptr},
        zeros.data(),
        zeros.data()};
    Bf16x3 bf16x3[2];
    pack_bf16x3<Factor::left>(rows, 0, Bf16x3::side, 0, Bf16x3::depth, bf16x3);
    CHECK(std::isnan(sum_of_parts(bf16x3[0], 1, 8)));
    CHECK(sum_of_parts(bf16x3[0], 1, 9) == values[41]);
  }
}

// Every layout packs to the same words, as either factor.
TEST(bf16x3_does_not_depend_on_the_layout) {
  constexpr std::int64_t rows = 37, depth = 75;
  const testing::Matrix x(Dtype::float32, rows, depth, 1);
  const std::vector<float> centers = testing::random_integers<float>(depth, 4), zeros(depth);
  std::vector<float> transposed(rows * depth);
  for (std::int64_t i = 0; i < rows; i++)
    for (std::int64_t k = 0; k < depth; k++)
      transposed[static_cast<std::size_t>(k * rows + i)] = static_cast<float>(x.value(i, k));
  const ArrayView across{transposed.data(), rows, depth, 4, rows * 4, Dtype::float32, nullptr};
  const auto check = [&]<Factor For>() {
    std::vector<Bf16x3> packed(2 * 2 * 3), other(2 * 2 * 3);
    pack_bf16x3<For>({x.view(), centers.data(), zeros.data()}, 0, rows, 0, depth, packed.data());
    pack_bf16x3<For>({across, centers.data(), zeros.data()}, 0, rows, 0, depth, other.data());
    CHECK(std::memcmp(packed.data(), other.data(), packed.size() * sizeof(Bf16x3)) == 0);
  };
  check.operator()<Factor::left>();
  check.operator()<Factor::right>();
}

}  // namespace
}  // namespace GRAMLESS_ISA
}  // namespace gramless
