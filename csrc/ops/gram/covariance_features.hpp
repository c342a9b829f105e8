// The numbering of the features of all layers, common to all sums over features.
#pragma once

#include "engine/pack/feature_panels.hpp"
#include "ops/dispatch/op_table.hpp"
#include "ops/gram/gram_sums_amx.hpp"
#include "support/aligned_buffer.hpp"

namespace gramless {
inline namespace GRAMLESS_ISA {

// Features of all layers, each layer's in whole vectors.
template <class T>
class CovarianceFeatures {
 public:
  explicit CovarianceFeatures(const CovarianceSumsTask& task) : layers_(task.layers_x + task.layers_y) {
    centered_ = AlignedBuffer(static_cast<std::size_t>(layers_) * sizeof(CenteredRows<T>));
    firsts_ = AlignedBuffer(static_cast<std::size_t>(layers_) * sizeof(std::int64_t));
    for (std::int64_t l = 0; l < layers_; l++) {
      layer(l) = centered_rows<T>(task.layers[l]);
      count_ += (layer(l).x.cols + lanes<T> - 1) / lanes<T>;
      first_of(l) = features_;
      features_ += layer(l).x.cols;
    }
    vectors_ = AlignedBuffer(static_cast<std::size_t>(count_) * sizeof(FeatureVector));
    std::int64_t next = 0;
    for (std::int64_t l = 0; l < layers_; l++)
      for (std::int64_t first = 0; first < layer(l).x.cols; first += lanes<T>)
        vectors()[next++] = {l, first, static_cast<int>(std::min<std::int64_t>(lanes<T>, layer(l).x.cols - first))};
  }

  std::int64_t count() const { return count_; }
  std::int64_t width() const { return count_ * lanes<T>; }  // including the padding of vectors
  std::int64_t layer_at(std::int64_t row) const { return vectors()[std::min(row / lanes<T>, count_ - 1)].layer; }
  std::int64_t features() const { return features_; }  // without the padding
  // The number of a feature among those of all layers; -1 for padding.
  std::int64_t number_at(std::int64_t row) const {
    const FeatureVector& vector = vectors()[row / lanes<T>];
    return row % lanes<T> < vector.count ? first_of(vector.layer) + vector.first + row % lanes<T> : -1;
  }
  FeaturePanels<T> panels() const {
    return {reinterpret_cast<const CenteredRows<T>*>(centered_.data()), vectors(), count_};
  }

 private:
  CenteredRows<T>& layer(std::int64_t l) const { return reinterpret_cast<CenteredRows<T>*>(centered_.data())[l]; }
  std::int64_t& first_of(std::int64_t l) const { return reinterpret_cast<std::int64_t*>(firsts_.data())[l]; }
  FeatureVector* vectors() const { return reinterpret_cast<FeatureVector*>(vectors_.data()); }

  std::int64_t layers_, count_ = 0, features_ = 0;
  AlignedBuffer centered_, firsts_, vectors_;
};

// sum_k a_k b_k for k in [first, end), of arrays that start at whole vectors; `end` is the end of one.
GRAMLESS_INLINE double inner_product(const double* a, const double* b, std::int64_t first, std::int64_t end) {
  constexpr int width = lanes<double>;
  double head = 0;
  for (; first % width != 0; first++) head += a[first] * b[first];
  Vector<double> sums[2] = {};
  for (int u = 0; first < end; first += width, u ^= 1)
    sums[u] += load<Vector<double>>(a + first) * load<Vector<double>>(b + first);
  return head + horizontal_sum<double>(sums[0] + sums[1]);
}

}  // namespace GRAMLESS_ISA
}  // namespace gramless
