// Tiles of dot products of integers, where every sum is exact, at sizes around those of tiles, vectors and chunks.
#include "engine/product/dot_tile.hpp"

#include <new>

#include "abandoned.hpp"
#include "check.hpp"
#include "epilogues/tile_kernels.hpp"
#include "matrices.hpp"
#include "reductions/kernel_sums.hpp"
#include "support/aligned_buffer.hpp"

namespace gramless {
inline namespace GRAMLESS_ISA {
namespace {

using testing::Matrix;

// Memory that begins at a cache line, as a thread's does, and is exactly as large as needed.
template <class T>
struct LineAllocator {
  using value_type = T;
  static constexpr std::align_val_t line{64};

  T* allocate(std::size_t count) { return static_cast<T*>(::operator new(count * sizeof(T), line)); }
  void deallocate(T* memory, std::size_t) { ::operator delete(memory, line); }
  bool operator==(const LineAllocator&) const = default;
};

// A thread's memory, exactly as large as needed.
template <class T>
class Workspace {
 public:
  Workspace(std::int64_t rows, std::int64_t cols, std::int64_t depth, bool keeps)
      : values_(static_cast<std::size_t>(tile_values<T>(rows, cols)), T(99)),
        slivers_(static_cast<std::size_t>(Product<T>::packed_values(rows, keeps ? depth : chunk(depth)))),
        panels_(static_cast<std::size_t>(Product<T>::panel_values)),
        packed{slivers_.data(), panels_.data(), keeps, -1} {}

  Tile<T> tile(int rows, int cols, bool diagonal) {
    return {values_.data(), rows, cols, tile_stride<T>(cols), diagonal};
  }

 private:
  static std::int64_t chunk(std::int64_t depth) { return std::min<std::int64_t>(depth, TileShape<T>::depth); }
  std::vector<T, LineAllocator<T>> values_, slivers_, panels_;

 public:
  PackedRows<T> packed;
};

template <class T>
bool is_product(const Tile<T>& tile, const Matrix& x, std::int64_t first_i, const Matrix& y, std::int64_t first_j,
                std::int64_t first_k, std::int64_t end_k) {
  for (int i = 0; i < tile.rows; i++)
    for (int j = tile.diagonal ? i + 1 : 0; j < tile.cols; j++) {
      double sum = 0;
      for (std::int64_t k = first_k; k < end_k; k++) sum += x.value(first_i + i, k) * y.value(first_j + j, k);
      if (static_cast<double>(tile.row(i)[j]) != sum) return false;
    }
  return true;
}

template <class T>
constexpr Dtype own = sizeof(T) == 4 ? Dtype::float32 : Dtype::float64;

template <class T>
void check_size(int rows, int cols, std::int64_t depth, bool diagonal) {
  const std::vector<T> zeros(static_cast<std::size_t>(depth));
  const Matrix x(own<T>, rows, depth, 1), y(own<T>, cols, depth, diagonal ? 1 : 2);
  for (const bool keeps : {false, true}) {
    Workspace<T> workspace(rows, cols, depth, keeps);
    const Tile<T> tile = workspace.tile(rows, cols, diagonal);
    dot_tile<T>({x.view(), zeros.data(), zeros.data()}, 0, {y.view(), zeros.data(), zeros.data()}, 0, 0, depth,
                workspace.packed, tile);
    CHECK(is_product(tile, x, 0, y, 0, 0, depth));
  }
}

template <class T>
void check_sizes_around_micro_tiles() {
  using Shape = TileShape<T>;
  const int sizes[] = {1,
                       2,
                       Shape::micro_rows - 1,
                       Shape::micro_rows + 1,
                       Shape::micro_cols - 1,
                       Shape::micro_cols,
                       Shape::micro_cols + 1};
  for (const int rows : sizes)
    for (const int cols : sizes)
      for (const int depth : {1, 7, 16}) check_size<T>(rows, cols, depth, false);
  for (const int rows : sizes) check_size<T>(rows, rows, 5, true);
}

TEST(tiles_around_register_tiles_are_products) {
  check_sizes_around_micro_tiles<float>();
  check_sizes_around_micro_tiles<double>();
}

template <class T>
void check_sizes_around_tiles() {
  using Shape = TileShape<T>;
  for (const int rows : {Shape::rows - 1, Shape::rows}) {
    check_size<T>(rows, Shape::rows, 19, false);
    check_size<T>(rows, rows, 19, true);
  }
  for (const int depth : {Shape::depth - 1, Shape::depth, Shape::depth + 1, 2 * Shape::depth + 3})
    check_size<T>(Shape::micro_rows + 1, Shape::micro_cols + 1, depth, false);
}

TEST(tiles_of_full_size_and_depths_around_chunks_are_products) {
  check_sizes_around_tiles<float>();
  check_sizes_around_tiles<double>();
}

template <class T>
void check_kept_rows() {
  constexpr int block = 20;
  constexpr std::int64_t depth = TileShape<T>::depth + 9;
  const std::vector<T> zeros(static_cast<std::size_t>(depth));
  const Matrix x(own<T>, 3 * block, depth);
  const CenteredRows<T> rows{x.view(), zeros.data(), zeros.data()};
  Workspace<T> workspace(block, block, depth, true);
  for (std::int64_t i = 0; i < 3; i++)
    for (std::int64_t j = i; j < 3; j++) {
      const Tile<T> tile = workspace.tile(block, block, i == j);
      dot_tile(rows, i * block, rows, j * block, 0, depth, workspace.packed, tile);
      CHECK(workspace.packed.held_row == i * block);
      CHECK(is_product(tile, x, i * block, x, j * block, 0, depth));
    }
}

TEST(rows_kept_from_the_last_tile_are_the_right_ones) {
  check_kept_rows<float>();
  check_kept_rows<double>();
}

// finish() gets every dot product of a register tile exactly once.
template <class T>
void check_finishing(int rows, int cols, std::int64_t depth, bool diagonal) {
  using Shape = TileShape<T>;
  const std::vector<T> zeros(static_cast<std::size_t>(depth));
  const Matrix x(own<T>, rows, depth, 1), y(own<T>, cols, depth, diagonal ? 1 : 2);
  Workspace<T> workspace(rows, cols, depth, false);
  const Tile<T> tile = workspace.tile(rows, cols, diagonal);
  std::vector<int> seen(static_cast<std::size_t>(rows * cols));
  dot_tile<T>({x.view(), zeros.data(), zeros.data()}, 0, {y.view(), zeros.data(), zeros.data()}, 0, 0, depth,
              workspace.packed, tile, [&](int first_i, int first_j) {
                for (int i = first_i; i < std::min(rows, first_i + Shape::micro_rows); i++)
                  for (int j = first_j; j < std::min(cols, first_j + Shape::micro_cols); j++) {
                    double sum = 0;
                    for (std::int64_t k = 0; k < depth; k++) sum += x.value(i, k) * y.value(j, k);
                    seen[static_cast<std::size_t>(i * cols + j)] += static_cast<double>(tile.row(i)[j]) == sum;
                  }
              });
  for (int i = 0; i < rows; i++)
    for (int j = diagonal ? i + 1 : 0; j < cols; j++) CHECK(seen[static_cast<std::size_t>(i * cols + j)] == 1);
}

TEST(every_register_tile_is_finished_once_with_its_products) {
  for (const int rows : {1, 31, 32, 33, 70, 100})
    for (const std::int64_t depth : {5, 40, 300}) {
      check_finishing<float>(rows, 50, depth, false);
      check_finishing<float>(rows, rows, depth, true);
      check_finishing<double>(rows, 30, depth, false);
    }
}

// KernelSums may finish a register tile while the next one multiplies. Its kernel here subtracts 2.
template <class T>
void check_kernel_sums(int rows, int cols, std::int64_t depth, bool diagonal) {
  const std::vector<T> zeros(static_cast<std::size_t>(std::max<std::int64_t>(depth, 2 * TileShape<T>::rows)));
  const Matrix x(own<T>, rows, depth, 1), y(own<T>, cols, depth, diagonal ? 1 : 2);
  Workspace<T> workspace(rows, cols, depth, false);
  const Tile<T> tile = workspace.tile(rows, cols, diagonal);
  KernelSums sums(tile, on_tiles<T>(Linear{}, 2.0), zeros.data(), zeros.data());
  dot_tile<T>({x.view(), zeros.data(), zeros.data()}, 0, {y.view(), zeros.data(), zeros.data()}, 0, 0, depth,
              workspace.packed, tile, sums);
  std::vector<double> row_sums(static_cast<std::size_t>(rows)), column_sums(static_cast<std::size_t>(cols));
  sums.finish(row_sums.data(), column_sums.data());
  std::vector<double> expected_columns(static_cast<std::size_t>(cols));
  for (int i = 0; i < rows; i++) {
    double expected_row = 0;
    for (int j = diagonal ? i + 1 : 0; j < cols; j++) {
      tile.row(i)[j] += 2;
      const double value = static_cast<double>(tile.row(i)[j]) - 2;
      expected_row += value;
      expected_columns[static_cast<std::size_t>(j)] += value;
    }
    CHECK(row_sums[static_cast<std::size_t>(i)] == expected_row);
  }
  CHECK(column_sums == expected_columns);
  CHECK(is_product(tile, x, 0, y, 0, 0, depth));
}

TEST(kernel_values_are_right_while_other_tiles_multiply) {
  const auto check = []<class T>(T) {
    using Shape = TileShape<T>;
    for (const std::int64_t depth : {1, 63, 64, 65, Shape::depth, Shape::depth + 1, Shape::depth + 70})
      for (const int cols : {Shape::micro_cols, 2 * Shape::micro_cols + 1}) {
        check_kernel_sums<T>(Shape::micro_rows, cols, depth, false);
        check_kernel_sums<T>(5 * Shape::micro_rows + 1, cols, depth, false);
        check_kernel_sums<T>(cols, cols, depth, true);
      }
  };
  check(float());
  check(double());
}

TEST(a_range_of_the_depth_multiplies_alone) {
  const Matrix x(Dtype::float32, 11, 700);
  const std::vector<float> zeros(700);
  const CenteredRows<float> rows{x.view(), zeros.data(), zeros.data()};
  Workspace<float> workspace(11, 11, 700, false);
  const Tile<float> tile = workspace.tile(11, 11, false);
  dot_tile(rows, 0, rows, 0, 130, 690, workspace.packed, tile);
  CHECK(is_product(tile, x, 0, x, 0, 130, 690));
}

template <class T>
void check_abandoned() {
  constexpr int rows = 3, cols = 5;
  constexpr std::int64_t before = std::int64_t{polled_chunks} * TileShape<T>::depth, depth = 2 * before + 7;
  const std::vector<T> zeros(depth);
  const Matrix x(own<T>, rows, depth, 1), y(own<T>, cols, depth, 2);
  Workspace<T> workspace(rows, cols, depth, false);
  const Tile<T> tile = workspace.tile(rows, cols, false);
  int finished = 0;
  testing::run_abandoned([&] {
    dot_tile<T>({x.view(), zeros.data(), zeros.data()}, 0, {y.view(), zeros.data(), zeros.data()}, 0, 0, depth,
                workspace.packed, tile, [&](int, int) { finished++; });
  });
  CHECK(is_product(tile, x, 0, y, 0, 0, before));
  CHECK(finished == 0);
}

TEST(a_tile_of_wide_rows_ends_early_in_an_abandoned_walk) {
  check_abandoned<float>();
  check_abandoned<double>();
}

TEST(a_nan_reaches_its_row_and_column_and_no_other) {
  constexpr int n = 30, depth = 12;
  std::vector<float> values = testing::random_integers<float>(n * depth, 1);
  values[7 * depth + 3] = NAN;
  const std::vector<float> zeros(depth);
  const CenteredRows<float> rows{
      {values.data(), n, depth, depth * 4, 4, Dtype::float32, nullptr}, zeros.data(), zeros.data()};
  Workspace<float> workspace(n, n, depth, false);
  const Tile<float> tile = workspace.tile(n, n, false);
  dot_tile(rows, 0, rows, 0, 0, depth, workspace.packed, tile);
  for (int i = 0; i < n; i++)
    for (int j = 0; j < n; j++) CHECK((tile.row(i)[j] != tile.row(i)[j]) == (i == 7 || j == 7));
}

}  // namespace
}  // namespace GRAMLESS_ISA
}  // namespace gramless
