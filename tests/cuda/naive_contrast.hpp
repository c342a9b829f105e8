// The contrastive losses and their gradients with the n x n matrix, in any number type.
#pragma once

#include <algorithm>
#include <cmath>
#include <functional>

#include "device_matrix.hpp"

namespace gramless::cuda {

// Anchors against themselves or against keys, with all options of the kernels.
struct ContrastCase {
  std::vector<std::int64_t> anchors, keys;  // rows of the parts
  std::int64_t width;
  double temperature;
  bool normalize = true;
  ContrastKind kind = ContrastKind::softmax;
  std::int64_t labels = 0;  // number of random groups; 0: rows with the same number are positives
  bool keys_are_anchors = false;
  double left_out = 0;         // share of the pairs with a dot product above the limit, about
  bool whole_numbers = false;  // elements are, and the limit is one of their dot products
  bool temperature_on_device = false;
  double hardest = 0;  // that fraction of each anchor's negatives is left out
  std::int64_t stored_bytes = ContrastTask().stored_bytes;
  std::int64_t busy_blocks = ContrastTask().busy_blocks;
};

struct ContrastAnswer {
  std::vector<double> losses, grads;  // of anchors, then keys
  double temperature = 0;

  bool operator==(const ContrastAnswer&) const = default;
};

// Rows of all parts, anchors first, and the weights of their losses.
struct ContrastInput {
  std::vector<DeviceMatrix> parts;
  std::vector<std::int32_t> groups;
  std::vector<double> weights;
  double limit = INFINITY;
};

template <class T>
class NaiveContrast {
 public:
  using Rows = std::vector<std::vector<T>>;

  // Unit rows are rounded to `rounding`, as in a library that computes in that dtype.
  NaiveContrast(const ContrastCase& shape, const ContrastInput& input, Dtype rounding)
      : shape_(shape), input_(input), self_(shape.keys.empty()) {
    anchors_ = rows_of(0, shape.anchors.size(), rounding);
    keys_ = self_ ? anchors_ : rows_of(shape.anchors.size(), input.parts.size(), rounding);
  }

  ContrastAnswer answer() {
    Rows da(anchors_.size(), std::vector<T>(width())), dk(keys_.size(), std::vector<T>(width()));
    T by_temperature = 0;
    add(anchors_, keys_, 0, self_ ? 0 : anchors_.size(), da, dk, by_temperature);
    if (shape_.keys_are_anchors) add(keys_, anchors_, anchors_.size(), 0, dk, da, by_temperature);
    if (self_)
      for (std::size_t i = 0; i < da.size(); i++)
        for (std::size_t c = 0; c < width(); c++) da[i][c] += dk[i][c];
    answer_.temperature = static_cast<double>(by_temperature);
    back(0, anchors_, da);
    if (!self_) back(shape_.anchors.size(), keys_, dk);
    return answer_;
  }

 private:
  std::size_t width() const { return static_cast<std::size_t>(shape_.width); }

  Rows rows_of(std::size_t first, std::size_t last, Dtype rounding) {
    Rows rows;
    for (std::size_t p = first; p < last; p++)
      for (std::int64_t i = 0; i < input_.parts[p].rows(); i++) {
        std::vector<T> row;
        for (std::int64_t c = 0; c < shape_.width; c++) row.push_back(static_cast<T>(input_.parts[p].value(i, c)));
        T length = 1;
        if (shape_.normalize) length = std::sqrt(dot(row, row));
        lengths_.push_back(length);
        for (T& value : row) {
          value /= length;
          if (bytes_of(rounding) == 2) value = static_cast<T>(rounded_to(rounding, static_cast<double>(value)));
        }
        rows.push_back(row);
      }
    return rows;
  }

  static T dot(const std::vector<T>& a, const std::vector<T>& b) {
    T sum = 0;
    for (std::size_t c = 0; c < a.size(); c++) sum += a[c] * b[c];
    return sum;
  }

  // The dot product of the k-th most similar of row i's negatives.
  T hardest_limit(const Rows& a, std::size_t i, const Rows& b, std::size_t first_a, std::size_t first_b) const {
    std::vector<T> products;
    T largest = 0;
    for (std::size_t j = 0; j < b.size(); j++) {
      const std::int32_t group = input_.groups[first_a + i];
      if ((self_ && i == j) || (group >= 0 && group == input_.groups[first_b + j])) continue;
      products.push_back(dot(a[i], b[j]));
      largest = std::max(largest, std::abs(products.back()));
    }
    if (products.empty()) return INFINITY;
    const auto asked = static_cast<std::ptrdiff_t>(shape_.hardest * static_cast<double>(products.size()));
    const std::ptrdiff_t k = std::max(std::ptrdiff_t{1}, asked);
    std::nth_element(products.begin(), products.begin() + k - 1, products.end(), std::greater<>());
    return products[static_cast<std::size_t>(k - 1)] - static_cast<T>(1e-6) * largest;
  }

  // The losses of a's rows against b's, and their gradients.
  void add(const Rows& a, const Rows& b, std::size_t first_a, std::size_t first_b, Rows& da, Rows& db,
           T& by_temperature) {
    const T scale = static_cast<T>(1 / shape_.temperature);
    for (std::size_t i = 0; i < a.size(); i++) {
      std::vector<T> logits(b.size()), weights(b.size());
      std::vector<bool> positive(b.size()), left_out(b.size());
      T highest = -INFINITY, positive_logits = 0, denominator = 0;
      int count = 0;
      const auto counts = [&](std::size_t j) {
        return !(self_ && i == j) && !left_out[j] && !(positive[j] && shape_.kind == ContrastKind::decoupled);
      };
      const T limit = shape_.hardest > 0 ? hardest_limit(a, i, b, first_a, first_b) : static_cast<T>(input_.limit);
      for (std::size_t j = 0; j < b.size(); j++) {
        const T product = dot(a[i], b[j]);
        logits[j] = product * scale;
        const std::int32_t group = input_.groups[first_a + i];
        positive[j] = !(self_ && i == j) && group >= 0 && group == input_.groups[first_b + j] &&
                      shape_.kind != ContrastKind::log_sum_exp;
        left_out[j] = !positive[j] && product > limit;
        if (counts(j)) highest = std::max(highest, logits[j]);
        if (positive[j]) positive_logits += logits[j], count++;
      }
      for (std::size_t j = 0; j < b.size(); j++)
        if (counts(j)) denominator += weights[j] = std::exp(logits[j] - highest);
      const bool any = count > 0 || shape_.kind == ContrastKind::log_sum_exp;
      const T mean_logit = count ? positive_logits / static_cast<T>(count) : T(0);
      answer_.losses.push_back(any ? static_cast<double>(std::log(denominator) + highest - mean_logit) : 0);
      for (std::size_t j = 0; j < b.size() && any; j++) {
        if (self_ && i == j) continue;
        const T share = weights[j] / denominator - (positive[j] ? 1 / static_cast<T>(count) : T(0));
        const T slope = static_cast<T>(input_.weights[first_a + i]) * share;
        by_temperature -= slope * logits[j] * scale;
        for (std::size_t c = 0; c < width(); c++) {
          da[i][c] += slope * scale * b[j][c];
          db[j][c] += slope * scale * a[i][c];
        }
      }
    }
  }

  // From dz to dx.
  void back(std::size_t first_part, const Rows& z, const Rows& dz) {
    const std::size_t first = first_part == 0 ? 0 : anchors_.size();
    for (std::size_t i = 0; i < z.size(); i++) {
      const T along = shape_.normalize ? dot(dz[i], z[i]) : T(0);
      for (std::size_t c = 0; c < width(); c++)
        answer_.grads.push_back(static_cast<double>((dz[i][c] - along * z[i][c]) / lengths_[first + i]));
    }
  }

  const ContrastCase& shape_;
  const ContrastInput& input_;
  const bool self_;
  Rows anchors_, keys_;
  std::vector<T> lengths_;
  ContrastAnswer answer_;
};

}  // namespace gramless::cuda
