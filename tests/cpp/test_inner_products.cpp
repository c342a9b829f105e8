// Inner products between layers' tiles, exact for integers, for every number of layers and length around a segment.
#include "reductions/inner_products.hpp"

#include "check.hpp"
#include "matrices.hpp"

namespace gramless {
inline namespace GRAMLESS_ISA {
namespace {

constexpr double before = 7;  // what the sums add to

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
  add_layer_products(values.data(), rows, values.data() + second * stride, cols, stride, length, symmetric,
                     products.data(), cols);
  for (std::int64_t a = 0; a < rows; a++)
    for (std::int64_t b = symmetric ? a : 0; b < cols; b++)
      CHECK(products[static_cast<std::size_t>(a * cols + b)] ==
            before + naive_product(values, a, second + b, stride, length));
}

template <class T>
void check_all() {
  for (const std::int64_t vectors : {1, 2, 3, 5, 1024 / lanes<T>, 1024 / lanes<T> + 1, 2048 / lanes<T> + 7})
    for (std::int64_t rows = 1; rows <= 9; rows++) {
      check_layers<T>(rows, rows, vectors * lanes<T>, true);
      for (std::int64_t cols = 1; cols <= 8; cols++) check_layers<T>(rows, cols, vectors * lanes<T>, false);
    }
}

TEST(products_between_layers_are_exact_for_integers) {
  check_all<float>();
  check_all<double>();
}

TEST(a_nan_reaches_the_products_of_its_layer_and_no_other) {
  constexpr std::int64_t layers = 7, length = 4 * lanes<float>;
  std::vector<float> values = testing::random_integers<float>(layers * length, 2);
  values[2 * length + 5] = std::numeric_limits<float>::quiet_NaN();
  std::vector<double> products(layers * layers);
  add_layer_products(values.data(), layers, values.data(), layers, length, length, true, products.data(), layers);
  for (std::size_t a = 0; a < layers; a++)
    for (std::size_t b = a; b < layers; b++) {
      const double product = products[a * layers + b];
      CHECK((product != product) == (a == 2 || b == 2));
    }
}

}  // namespace
}  // namespace GRAMLESS_ISA
}  // namespace gramless
