// Inner products between layers' tiles, exact for integers, for every number of layers and length around a segment.
#include "reductions/inner_products.hpp"

#include "check.hpp"
#include "matrices.hpp"

namespace gramless {
inline namespace GRAMLESS_ISA {
namespace {

constexpr double before = 7;  // the value that sums are added to

template <class T>
double naive_product(const std::vector<T>& values, std::int64_t a, std::int64_t b, std::int64_t stride,
                     std::int64_t length) {
  double sum = 0;
  for (std::int64_t e = 0; e < length; e++)
    sum += static_cast<double>(values[static_cast<std::size_t>(a * stride + e)]) *
           static_cast<double>(values[static_cast<std::size_t>(b * stride + e)]);
  return sum;
}

template <class T>
void check_layers(std::int64_t rows, std::int64_t cols, std::int64_t length, bool symmetric) {
  const std::int64_t stride = length + 2 * lanes<T>, layers = symmetric ? rows : rows + cols;
  const std::vector<T> values = testing::random_integers<T>(static_cast<std::size_t>(layers * stride), 1);
  const std::int64_t second = symmetric ? 0 : rows;
  std::vector<double> products(static_cast<std::size_t>(rows * cols), before);
  std::vector<T> kept(static_cast<std::size_t>(kept_product_values<T>(rows, cols)));
  add_layer_products<T>({values.data(), rows, values.data() + second * stride, cols, stride, symmetric, products.data(),
                         cols, kept.data()},
                        length);
  for (std::int64_t a = 0; a < rows; a++)
    for (std::int64_t b = symmetric ? a : 0; b < cols; b++)
      CHECK(products[static_cast<std::size_t>(a * cols + b)] ==
            before + naive_product(values, a, second + b, stride, length));
}

template <class T>
void check_all() {
  constexpr std::int64_t segment = 1024 / lanes<T>;
  for (const std::int64_t vectors : {std::int64_t{1}, std::int64_t{2}, std::int64_t{5}, segment, segment + 1,
                                     2 * segment + 7, 4 * segment, 4 * segment + 3, 9 * segment - 1})
    for (std::int64_t rows = 1; rows <= 13; rows++) {
      check_layers<T>(rows, rows, vectors * lanes<T>, true);
      for (std::int64_t cols = 1; cols <= 6; cols++) check_layers<T>(rows, cols, vectors * lanes<T>, false);
    }
}

TEST(products_between_layers_are_exact_for_integers) {
  check_all<float>();
  check_all<double>();
}

template <class T>
void check_pair(std::int64_t length) {
  const std::vector<T> values = testing::random_integers<T>(static_cast<std::size_t>(2 * length), 3);
  double products[3] = {before, before + 1, before + 2};
  add_pair_products(values.data(), values.data() + length, length, products);
  CHECK(products[0] == before + naive_product(values, 0, 0, length, length));
  CHECK(products[1] == before + 1 + naive_product(values, 0, 1, length, length));
  CHECK(products[2] == before + 2 + naive_product(values, 1, 1, length, length));
}

TEST(products_of_a_pair_are_exact_for_integers) {
  for (const int vectors : {1, 3, 4, 7, 64, 256, 300}) {
    check_pair<float>(vectors * lanes<float>);
    check_pair<double>(vectors * lanes<double>);
  }
}

TEST(a_nan_reaches_the_products_of_its_layer_and_no_other) {
  constexpr std::int64_t layers = 7, length = 4 * lanes<float>;
  std::vector<float> values = testing::random_integers<float>(layers * length, 2);
  values[2 * length + 5] = std::numeric_limits<float>::quiet_NaN();
  std::vector<double> products(layers * layers);
  std::vector<float> kept(static_cast<std::size_t>(kept_product_values<float>(layers, layers)));
  add_layer_products<float>(
      {values.data(), layers, values.data(), layers, length, true, products.data(), layers, kept.data()}, length);
  for (std::size_t a = 0; a < layers; a++)
    for (std::size_t b = a; b < layers; b++) {
      const double product = products[a * layers + b];
      CHECK((product != product) == (a == 2 || b == 2));
    }
}

}  // namespace
}  // namespace GRAMLESS_ISA
}  // namespace gramless
