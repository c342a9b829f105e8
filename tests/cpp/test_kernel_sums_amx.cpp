// Both layers of a pair, walked at once on the matrix unit: sums of dot products of integers, at sizes around those of
// blocks and chunks, and kernel values against those of one layer at a time.
#include "reductions/kernel_sums_amx.hpp"

#if defined(GRAMLESS_MATRIX_UNIT)

#include <cmath>
#include <limits>
#include <new>

#include "check.hpp"
#include "epilogues/tile_kernels.hpp"
#include "matrices.hpp"
#include "support/aligned_buffer.hpp"

namespace gramless {
inline namespace GRAMLESS_ISA {
namespace {

using testing::Matrix;

constexpr std::int64_t most_rows = most_tile_rows(4);

struct Sums {
  std::vector<double> products = std::vector<double>(3), row_sums[2], column_sums[2];
  bool operator==(const Sums&) const = default;
};

// Two matrices, and the memory in which tiles of their rows are multiplied, exactly as large as needed.
class Pair {
 public:
  Pair(std::int64_t rows, std::int64_t depth, std::int64_t other_depth)
      : x_{Matrix(Dtype::float32, rows, depth, 1), Matrix(Dtype::float32, rows, other_depth, 2)},
        zeros_(static_cast<std::size_t>(std::max(depth, other_depth))),
        layers_{{x_[0].view(), zeros_.data(), zeros_.data()}, {x_[1].view(), zeros_.data(), zeros_.data()}},
        columns_{memory(ProductAmx::packed_values(most_rows, depth)),
                 memory(ProductAmx::packed_values(most_rows, other_depth))},
        panel_(memory(TwoLayerProductAmx::packed_values(matrix_block, depth, other_depth))) {
    for (int l = 0; l < 2; l++) {
      held_[l] = {values(columns_[l]), values(panel_), true, -1};
      stats_[l] = testing::random_values<float>(static_cast<std::size_t>(rows) + 64, 3);
      for (float& stat : stats_[l]) stat = std::abs(stat) + 3000;  // beyond every dot product
    }
  }

  // The held columns; the next call may hold more.
  void forget() { held_[0].held_row = held_[1].held_row = -1; }
  void pack_rows_before(bool before) { packed_before_ = before; }

  template <class Kernel>
  Sums add(const Kernel (&kernels)[2], std::int64_t first_i, int rows, std::int64_t first_j, int cols) {
    const Tile<float> tile{nullptr, rows, cols, 0, first_i == first_j};
    KernelSumsAmx sums(tile, kernels, {row(0, first_i), row(1, first_i)}, {row(0, first_j), row(1, first_j)});
    AlignedBuffer packed;
    if (packed_before_) {
      packed = memory(TwoLayerProductAmx::packed_values(rows, layers_[0].x.cols, layers_[1].x.cols));
      TwoLayerProductAmx::pack_rows(layers_, first_i, rows, values(packed));
    }
    TwoLayerProductAmx(layers_, first_i, first_j, held_, values(packed), tile).run(sums);
    Sums found;
    found.products.assign(sums.products(), sums.products() + 3);
    for (int l = 0; l < 2; l++) {
      found.row_sums[l].assign(static_cast<std::size_t>(rows), 99);
      found.column_sums[l].assign(static_cast<std::size_t>(cols), 99);
      sums.finish(l, found.row_sums[l].data(), found.column_sums[l].data());
    }
    return found;
  }

  // The same, pair by pair of rows in float64: value(dot product, number of the row, number of the column).
  template <class Value>
  Sums add_naively(Value value, std::int64_t first_i, int rows, std::int64_t first_j, int cols) const {
    Sums sums;
    for (int l = 0; l < 2; l++) {
      sums.row_sums[l].resize(static_cast<std::size_t>(rows));
      sums.column_sums[l].resize(static_cast<std::size_t>(cols));
    }
    for (int i = 0; i < rows; i++)
      for (int j = first_i == first_j ? i + 1 : 0; j < cols; j++) {
        double values[2];
        for (int l = 0; l < 2; l++) {
          double dot = 0;
          for (std::int64_t k = 0; k < layers_[l].x.cols; k++)
            dot += x_[l].value(first_i + i, k) * x_[l].value(first_j + j, k);
          values[l] = value(l, dot, *row(l, first_i + i), *row(l, first_j + j));
          sums.row_sums[l][static_cast<std::size_t>(i)] += values[l];
          sums.column_sums[l][static_cast<std::size_t>(j)] += values[l];
        }
        sums.products[0] += values[0] * values[0];
        sums.products[1] += values[0] * values[1];
        sums.products[2] += values[1] * values[1];
      }
    return sums;
  }

 private:
  static AlignedBuffer memory(std::int64_t count) {
    return AlignedBuffer(static_cast<std::size_t>(count) * sizeof(float));
  }
  static float* values(const AlignedBuffer& buffer) { return reinterpret_cast<float*>(buffer.data()); }
  const float* row(int l, std::int64_t i) const { return stats_[l].data() + i; }

  Matrix x_[2];
  std::vector<float> zeros_;
  CenteredRows<float> layers_[2];
  AlignedBuffer columns_[2], panel_;
  PackedRows<float> held_[2];
  bool packed_before_ = false;
  std::vector<float> stats_[2];
};

bool near(double a, double b, double size) { return std::abs(a - b) <= 1e-6 * size; }

// Sums of integers are exact; their products are sums of larger numbers, of which float32 holds the leading digits.
void check_integers(Pair& pair, std::int64_t first_i, int rows, std::int64_t first_j, int cols) {
  const LinearTile<float> kernels[2] = {on_tiles<float>(Linear{}, 2.0), on_tiles<float>(Linear{}, -1.0)};
  const Sums ours = pair.add(kernels, first_i, rows, first_j, cols);
  pair.pack_rows_before(true);
  const Sums with_packed_rows = pair.add(kernels, first_i, rows, first_j, cols);
  pair.pack_rows_before(false);
  const Sums truth = pair.add_naively([](int l, double dot, float, float) { return dot - (l == 0 ? 2 : -1); }, first_i,
                                      rows, first_j, cols);
  CHECK(ours == with_packed_rows);
  for (int l = 0; l < 2; l++) {
    CHECK(ours.row_sums[l] == truth.row_sums[l]);
    CHECK(ours.column_sums[l] == truth.column_sums[l]);
  }
  const double size = truth.products[0] + truth.products[2];
  for (std::size_t p = 0; p < 3; p++) CHECK(near(ours.products[p], truth.products[p], size));
}

TEST(sums_of_a_pair_are_those_of_its_dot_products) {
  for (const auto& [depth, other] : {std::pair{1, 1}, {32, 33}, {40, 7}, {128, 129}, {20, 300}}) {
    Pair pair(150, depth, other);
    for (const int rows : {1, 2, 31, 32, 33, 65}) {
      pair.forget();
      check_integers(pair, 0, rows, 0, rows);
    }
    for (const int cols : {1, 32, 70}) {
      pair.forget();
      for (const int rows : {1, 32, 63}) check_integers(pair, 80, rows, 10, cols);
    }
  }
}

TEST(columns_that_are_not_near_are_taken_in_parts) {
  constexpr int most = static_cast<int>(most_rows), depth = 400;
  Pair pair(most + 40, depth, TwoLayerProductAmx::most_depth - depth);
  check_integers(pair, 0, most, 0, most);
  check_integers(pair, most, 40, 0, most);
}

TEST(columns_of_another_block_are_packed_anew) {
  Pair pair(120, 50, 60);
  for (const std::int64_t first_j : {0, 0, 40, 0}) check_integers(pair, 40, 64, first_j, 40);
}

// Both lose products that are smaller than the largest by more than the digits of float32, so the tolerance is relative
// to the size of all.
template <bool Clamped>
void check_rbf(int rows, int cols) {
  constexpr double gamma = 1e-4, shift = 0.5;
  Pair pair(200, 30, 70);
  const RbfTile<float, Clamped> kernels[2] = {on_tiles<float, Clamped>(Rbf{gamma}, shift),
                                              on_tiles<float, Clamped>(Rbf{2 * gamma}, shift)};
  const Sums ours = pair.add(kernels, 100, rows, 0, cols);
  const Sums truth = pair.add_naively(
      [](int l, double dot, float row, float column) {
        return std::exp(-2 * gamma * (l + 1) * (double{row} + double{column} - dot)) - shift;
      },
      100, rows, 0, cols);
  for (int l = 0; l < 2; l++) {
    for (std::size_t i = 0; i < static_cast<std::size_t>(rows); i++)
      CHECK(near(ours.row_sums[l][i], truth.row_sums[l][i], cols));
    for (std::size_t j = 0; j < static_cast<std::size_t>(cols); j++)
      CHECK(near(ours.column_sums[l][j], truth.column_sums[l][j], rows));
  }
  for (std::size_t p = 0; p < 3; p++) CHECK(near(ours.products[p], truth.products[p], rows * cols));
}

TEST(sums_of_a_pair_are_those_of_its_kernel_values) {
  for (const int rows : {3, 64, 100})
    for (const int cols : {20, 96}) {
      check_rbf<false>(rows, cols);
      check_rbf<true>(rows, cols);
    }
}

TEST(sums_of_a_pair_are_those_of_its_polynomials) {
  constexpr int rows = 70, cols = 96;
  constexpr double shift = 0.5;
  Polynomial stated[2];
  for (int l = 0; l < 2; l++) {
    stated[l].degree = l + 2;
    stated[l].factor = 0.5;
    stated[l].power = 12 * (l + 2);  // values of about 1, for a row's number is about 3000
  }
  Pair pair(200, 30, 70);
  const PolynomialTile<float> kernels[2] = {on_tiles<float>(stated[0], shift), on_tiles<float>(stated[1], shift)};
  const Sums ours = pair.add(kernels, 100, rows, 0, cols);
  const Sums truth = pair.add_naively(
      [&](int l, double dot, float row, float column) { return stated[l].value(dot, row, column) - shift; }, 100, rows,
      0, cols);
  for (int l = 0; l < 2; l++) {
    for (std::size_t i = 0; i < rows; i++) CHECK(near(ours.row_sums[l][i], truth.row_sums[l][i], 4 * cols));
    for (std::size_t j = 0; j < cols; j++) CHECK(near(ours.column_sums[l][j], truth.column_sums[l][j], 4 * rows));
  }
  for (std::size_t p = 0; p < 3; p++) CHECK(near(ours.products[p], truth.products[p], 16 * rows * cols));
}

TEST(a_nan_of_a_pair_reaches_its_row_its_column_and_the_products) {
  Pair pair(96, 8, 8);
  const LinearTile<float> kernels[2] = {{std::numeric_limits<float>::quiet_NaN()}, {0}};
  const Sums sums = pair.add(kernels, 0, 40, 40, 40);
  CHECK(std::isnan(sums.row_sums[0][3]) && std::isnan(sums.column_sums[0][3]));
  CHECK(!std::isnan(sums.row_sums[1][3]) && !std::isnan(sums.column_sums[1][3]));
  CHECK(std::isnan(sums.products[0]) && std::isnan(sums.products[1]) && !std::isnan(sums.products[2]));
}

}  // namespace
}  // namespace GRAMLESS_ISA
}  // namespace gramless

#endif
