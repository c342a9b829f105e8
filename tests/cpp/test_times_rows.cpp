// A tile of weights times rows, on small integers, so that equality is exact; nothing outside is written.
#include "reductions/times_rows.hpp"

#include <vector>

#include "abandoned.hpp"
#include "check.hpp"
#include "engine/product/dot_tile.hpp"
#include "matrices.hpp"

namespace gramless {
inline namespace GRAMLESS_ISA {
namespace {

template <class T>
void multiplies(int rows, int depth, int cols, bool transpose) {
  const int stride = tile_stride<T>(transpose ? rows : depth), row_stride = cols + lanes<T> + 5;
  std::vector<T> values = testing::random_integers<T>(
      static_cast<std::size_t>(tile_values<T>(transpose ? depth : rows, transpose ? rows : depth)), 1);
  const std::vector<T> z = testing::random_integers<T>(static_cast<std::size_t>(depth * row_stride), 2);
  constexpr T untouched = 77;
  const int out_stride = cols + 3;
  std::vector<T> out(static_cast<std::size_t>((rows + 2) * out_stride), untouched);
  const Tile<T> tile{values.data(), transpose ? depth : rows, transpose ? rows : depth, stride, false};
  add_times_rows(transpose ? transposed(tile) : weights_of(tile), RowSpan<const T>{z.data(), row_stride}, cols,
                 RowSpan<T>{out.data(), out_stride});
  for (int i = 0; i < rows + 2; i++)
    for (int c = 0; c < out_stride; c++) {
      T expected = untouched;
      for (int k = 0; i < rows && c < cols && k < depth; k++)
        expected += (transpose ? tile.row(k)[i] : tile.row(i)[k]) * z[static_cast<std::size_t>(k * row_stride + c)];
      CHECK(out[static_cast<std::size_t>(i * out_stride + c)] == expected);
    }
}

TEST(weights_times_rows_are_exact_and_write_nothing_else) {
  for (const int rows : {1, 3, 8, 9, 96})
    for (const int depth : {1, 47, 96})
      for (const int cols : {1, 7, 16, 33, 48, 49, 100})
        for (const bool transpose : {false, true}) {
          multiplies<float>(rows, depth, cols, transpose);
          multiplies<double>(rows, depth, cols, transpose);
        }
  multiplies<float>(192, 192, 130, false);
  multiplies<float>(192, 191, 130, true);
}

template <class T>
void ends_early() {
  constexpr int before = 64 * RegisterTile<T>::cols, cols = before + 9, stride = tile_stride<T>(2);
  std::vector<T> weights = testing::random_integers<T>(static_cast<std::size_t>(tile_values<T>(1, 2)), 1);
  const std::vector<T> z = testing::random_integers<T>(2 * cols, 2);
  constexpr T untouched = 77;
  std::vector<T> out(cols, untouched);
  const Tile<T> tile{weights.data(), 1, 2, stride, false};
  testing::run_abandoned(
      [&] { add_times_rows(weights_of(tile), RowSpan<const T>{z.data(), cols}, cols, RowSpan<T>{out.data(), cols}); });
  for (std::size_t c = 0; c < cols; c++) {
    const T product = weights[0] * z[c] + weights[1] * z[c + cols];
    CHECK(out[c] == (c < before ? untouched + product : untouched));
  }
}

TEST(gradients_of_wide_rows_end_early_in_an_abandoned_walk) {
  ends_early<float>();
  ends_early<double>();
}

}  // namespace
}  // namespace GRAMLESS_ISA
}  // namespace gramless
