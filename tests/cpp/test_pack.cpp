// Packing: every element type, layout and panel width gives bitwise the same centred panels.
#include "engine/pack/pack.hpp"

#include "check.hpp"
#include "matrices.hpp"

namespace gramless {
inline namespace GRAMLESS_ISA {
namespace {

using testing::Matrix;
using testing::MatrixLayout;

struct Window {
  std::int64_t first_row;
  int count;
  std::int64_t first;
  int depth;
};

template <int Width, class T>
bool packs_as_defined(const Matrix& x, const Window& window) {
  const auto centers = static_cast<std::size_t>(x.view().cols);
  const std::vector<T> high = testing::random_values<T>(centers, 5), low = testing::random_values<T>(centers, 6);
  const std::int64_t padded = round_up(window.count, Width);
  std::vector<T> packed(static_cast<std::size_t>(padded * window.depth), T(99));
  const CenteredRows<T> source{x.view(), high.data(), low.data()};
  pack<Width>(source, window.first_row, window.count, window.first, window.depth, packed.data());
  for (std::int64_t i = 0; i < padded; i++)
    for (std::int64_t k = 0; k < window.depth; k++) {
      const std::int64_t row = window.first_row + i, column = window.first + k;
      const auto center = static_cast<std::size_t>(column);
      const T expected = i < window.count ? (static_cast<T>(x.value(row, column)) - high[center]) - low[center] : T(0);
      if (packed[static_cast<std::size_t>((i / Width * window.depth + k) * Width + i % Width)] != expected)
        return false;
    }
  return true;
}

template <class T, int... Widths>
void check_widths(const Matrix& x, const Window& window, std::integer_sequence<int, Widths...>) {
  CHECK((packs_as_defined<Widths, T>(x, window) && ...));
}

template <class T>
void check_widths(const Matrix& x, const Window& window) {
  using Shape = TileShape<T>;
  check_widths<T>(x, window, std::integer_sequence<int, Shape::micro_rows, Shape::micro_cols, lanes<T>, 3, 6>{});
}

std::vector<MatrixLayout> layouts(std::int64_t rows, std::int64_t cols) {
  return {{cols, 1},     {1, rows},  {cols + 3, 1}, {1, rows + 5}, {2 * cols, 2},
          {2, 2 * rows}, {-cols, 1}, {cols, -1},    {-1, rows},    {-cols - 1, -1},
          {0, 1},        {1, 0},     {cols, 1, 1},  {1, rows, 1},  {3 * cols, -3, 3}};
}

TEST(every_element_type_and_layout_packs_to_the_same_panels) {
  constexpr std::int64_t rows = 37, cols = 41;
  for (const Dtype dtype : testing::every_dtype)
    for (const MatrixLayout& layout : layouts(rows, cols)) {
      const Matrix x(dtype, rows, cols, layout);
      for (const Window& window : {Window{0, 37, 0, 41}, Window{5, 27, 3, 33}}) {
        check_widths<float>(x, window);
        check_widths<double>(x, window);
      }
    }
}

TEST(every_small_window_packs_to_its_panels) {
  const Matrix in_c_order(Dtype::float32, 60, 60), transposed(Dtype::float32, 60, 60, {1, 60});
  for (int count = 1; count <= 50; count += 7)
    for (int depth = 1; depth <= 34; depth += 3) {
      check_widths<float>(in_c_order, {9, count, 11, depth});
      check_widths<float>(transposed, {9, count, 11, depth});
    }
}

TEST(rows_pack_in_the_order_of_their_index) {
  std::vector<std::int64_t> order;
  for (std::int64_t i = 0; i < 50; i++) order.push_back(i * 7 % 31);
  for (const MatrixLayout& layout : layouts(31, 20)) {
    Matrix x(Dtype::float64, 31, 20, layout);
    x.reorder(order);
    check_widths<float>(x, {4, 43, 2, 17});
    check_widths<double>(x, {4, 43, 2, 17});
  }
}

template <class T>
std::vector<T> panels(const ArrayView& x) {
  constexpr int width = TileShape<T>::micro_cols;
  const std::vector<T> centers(static_cast<std::size_t>(x.cols));
  std::vector<T> packed(static_cast<std::size_t>(round_up(x.rows, width) * x.cols));
  pack<width>({x, centers.data(), centers.data()}, 0, static_cast<int>(x.rows), 0, static_cast<int>(x.cols),
              packed.data());
  return packed;
}

TEST(rows_pack_from_where_their_offsets_say) {
  for (const MatrixLayout& layout : layouts(31, 20)) {
    Matrix x(Dtype::float32, 31, 20, layout);
    ArrayView view = x.view();
    std::vector<std::int64_t> order, offsets;
    for (std::int64_t i = 0; i < 31; i++)
      order.push_back(i * 7 % 31), offsets.push_back(order.back() * view.row_stride);
    view.row_offset = offsets.data();
    view.row_stride = 0;
    x.reorder(order);
    CHECK(panels<float>(view) == panels<float>(x.view()));
    CHECK(panels<double>(view) == panels<double>(x.view()));
  }
}

// Numbers of few bits, so that no order of operations rounds.
template <class T>
bool packs_unit_rows(Matrix& x, std::int64_t rows, std::int64_t cols) {
  std::vector<double> means, factors, rests, origin;
  for (std::int64_t i = 0; i < rows; i++)
    means.push_back(static_cast<double>(i % 3)), factors.push_back(i % 2 ? 0.5 : 0.125), rests.push_back(0x1p-6);
  for (std::int64_t k = 0; k < cols; k++) origin.push_back(0.25 * static_cast<double>(k % 5));
  ArrayView view = x.view();
  view.unit = {means.data(), factors.data(), rests.data(), origin.data()};
  constexpr int width = TileShape<T>::micro_cols;
  const std::vector<T> packed = panels<T>(view);
  for (std::int64_t i = 0; i < rows; i++)
    for (std::int64_t k = 0; k < cols; k++) {
      const auto row = static_cast<std::size_t>(i);
      const double factor = factors[row] + rests[row];
      const double expected = (x.value(i, k) - means[row]) * factor - origin[static_cast<std::size_t>(k)];
      if (packed[static_cast<std::size_t>((i / width * cols + k) * width + i % width)] != static_cast<T>(expected))
        return false;
    }
  return true;
}

TEST(unit_rows_of_every_element_type_and_layout_pack_alike) {
  constexpr std::int64_t rows = 37, cols = 41;
  for (const Dtype dtype : testing::every_dtype)
    for (const MatrixLayout& layout : layouts(rows, cols)) {
      Matrix x(dtype, rows, cols, layout);
      CHECK(packs_unit_rows<float>(x, rows, cols));
      CHECK(packs_unit_rows<double>(x, rows, cols));
    }
}

}  // namespace
}  // namespace GRAMLESS_ISA
}  // namespace gramless
