// Features side by side: every element type and layout packs to the same panels, and their products are those of the
// packed numbers, right of the diagonal.
#include "check.hpp"
#include "engine/product/covariance_tile.hpp"
#include "matrices.hpp"

namespace gramless {
inline namespace GRAMLESS_ISA {
namespace {

using testing::Matrix;
using testing::MatrixLayout;

constexpr std::int64_t rows = 37;
constexpr int count = 29;  // samples packed, from the third on

// Two layers, the second of `cols` features.
template <class T>
struct Layers {
  Layers(Dtype dtype, const MatrixLayout& layout, std::int64_t cols)
      : first(dtype, rows, lanes<T> + 1), second(dtype, rows, cols, layout, 2) {
    for (const Matrix* x : {&first, &second}) {
      const auto width = static_cast<std::size_t>(x->view().cols);
      centers.push_back(testing::random_values<T>(width, 5));
      centers.push_back(testing::random_values<T>(width, 6));
    }
    centered[0] = {first.view(), centers[0].data(), centers[1].data()};
    centered[1] = {second.view(), centers[2].data(), centers[3].data()};
    for (std::int64_t l = 0; l < 2; l++)
      for (std::int64_t k = 0; k < centered[l].x.cols; k += lanes<T>)
        vectors.push_back({l, k, static_cast<int>(std::min<std::int64_t>(lanes<T>, centered[l].x.cols - k))});
    panels = FeaturePanels<T>::panels(size());
    packed.assign(static_cast<std::size_t>(panels * FeaturePanel<T>::values), T(99));
    FeaturePanels<T>(centered, vectors.data(), size()).pack(0, 2, count, packed.data());
  }

  std::int64_t size() const { return static_cast<std::int64_t>(vectors.size()); }
  T at(std::int64_t feature, int sample) const {
    constexpr int width = FeaturePanel<T>::width;
    return packed[static_cast<std::size_t>(feature / width * FeaturePanel<T>::values + sample * width +
                                           feature % width)];
  }
  T expected(std::int64_t feature, int sample) const {
    const std::int64_t g = feature / lanes<T>;
    if (g >= size() || feature % lanes<T> >= vectors[static_cast<std::size_t>(g)].count) return T(0);
    const FeatureVector& vector = vectors[static_cast<std::size_t>(g)];
    const auto k = static_cast<std::size_t>(vector.first + feature % lanes<T>);
    const auto own = static_cast<std::size_t>(2 * vector.layer);
    const double value = (vector.layer == 0 ? first : second).value(2 + sample, static_cast<std::int64_t>(k));
    return (static_cast<T>(value) - centers[own][k]) - centers[own + 1][k];
  }

  Matrix first, second;
  std::vector<std::vector<T>> centers;
  CenteredRows<T> centered[2];
  std::vector<FeatureVector> vectors;
  std::int64_t panels;
  std::vector<T> packed;
};

template <class T>
void check_packed(Dtype dtype, std::int64_t cols) {
  for (const MatrixLayout& layout : std::initializer_list<MatrixLayout>{
           {cols, 1}, {1, rows}, {cols + 3, 1}, {2 * cols, 2}, {-cols, 1}, {-1, rows}, {0, 1}, {1, 0}, {cols, 1, 1}}) {
    const Layers<T> layers(dtype, layout, cols);
    bool same = true;
    for (std::int64_t feature = 0; feature < layers.panels * FeaturePanel<T>::width; feature++)
      for (int sample = 0; sample < count; sample++)
        same &= layers.at(feature, sample) == layers.expected(feature, sample);
    CHECK(same);
  }
}

TEST(features_of_every_type_and_layout_pack_to_the_same_panels) {
  for (const Dtype dtype : testing::every_dtype)
    for (const std::int64_t cols : {1, 16, 45}) {
      check_packed<float>(dtype, cols);
      check_packed<double>(dtype, cols);
    }
}

template <class T>
void check_products(std::int64_t cols) {
  const Layers<T> layers(Dtype::int8, {cols, 1}, cols);
  const std::int64_t width = layers.panels * FeaturePanel<T>::width, features = layers.size() * lanes<T>;
  const std::int64_t end = round_up(features, RegisterTile<T>::rows);
  std::vector<double> sums(static_cast<std::size_t>(end * width), 1.0);
  const auto wanted = [](std::int64_t, std::int64_t) { return true; };
  const std::int64_t middle = RegisterTile<T>::rows;  // in two parts
  const auto add = [&](std::int64_t first, std::int64_t last) {
    add_covariance_rows<T>({layers.packed.data(), count, 0, layers.size(), sums.data() + first * width, width}, first,
                           last, wanted);
  };
  add(0, middle);
  add(middle, end);
  bool close = true;
  for (std::int64_t i = 0; i < features; i++)
    for (std::int64_t j = i; j < features; j++) {
      double sum = 1;
      for (int k = 0; k < count; k++)
        sum += static_cast<double>(layers.at(i, k)) * static_cast<double>(layers.at(j, k));
      close &= std::abs(sums[static_cast<std::size_t>(i * width + j)] - sum) <= 1e-3;
    }
  CHECK(close);
}

TEST(covariances_are_products_of_packed_features) {
  for (const std::int64_t cols : {1, 45, 150}) {
    check_products<float>(cols);
    check_products<double>(cols);
  }
}

}  // namespace
}  // namespace GRAMLESS_ISA
}  // namespace gramless
