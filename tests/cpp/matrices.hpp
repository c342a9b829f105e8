// Matrices of every element type and layout, in memory exactly as large as they need, with their values as float64.
#pragma once

#include <cstdlib>
#include <cstring>
#include <random>
#include <vector>

#include "support/dtype.hpp"

namespace gramless::testing {

constexpr Dtype every_dtype[] = {Dtype::float32, Dtype::float64, Dtype::float16, Dtype::bfloat16, Dtype::int8,
                                 Dtype::int16,   Dtype::int32,   Dtype::int64,   Dtype::uint8,    Dtype::uint16,
                                 Dtype::uint32,  Dtype::uint64,  Dtype::boolean};

// Strides in elements; `misaligned` in bytes.
struct MatrixLayout {
  std::int64_t row_stride, col_stride;
  int misaligned = 0;
};

template <class Stored>
Stored narrow(float value) {
  return static_cast<Stored>(value);
}
// Exact for the small integers that tests use.
template <>
inline Half narrow<Half>(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t magnitude = value == 0 ? 0 : ((bits & 0x7fffffffu) >> 13) - (112u << 10);
  return {static_cast<std::uint16_t>(magnitude | (bits >> 16 & 0x8000u))};
}
template <>
inline BFloat16 narrow<BFloat16>(float value) {
  return {static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(value) >> 16)};
}

class Matrix {
 public:
  // Small integers, nonnegative where the type has no sign.
  Matrix(Dtype dtype, std::int64_t rows, std::int64_t cols, const MatrixLayout& layout, unsigned seed = 1)
      : cols_(cols) {
    visit_dtype(dtype, [&]<class Stored>() { fill<Stored>(rows, cols, layout, seed); });
    view_.dtype = dtype;
    view_.rows = rows;
    view_.cols = cols;
  }
  // In numpy's C order.
  Matrix(Dtype dtype, std::int64_t rows, std::int64_t cols, unsigned seed = 1)
      : Matrix(dtype, rows, cols, {cols, 1}, seed) {}

  // Row i becomes the previous row order[i].
  void reorder(std::vector<std::int64_t> order) {
    order_ = std::move(order);
    view_.row_index = order_.data();
    view_.rows = static_cast<std::int64_t>(order_.size());
  }

  const ArrayView& view() const { return view_; }
  double value(std::int64_t i, std::int64_t k) const {
    const std::int64_t row = order_.empty() ? i : order_[static_cast<std::size_t>(i)];
    return values_[static_cast<std::size_t>(row * cols_ + k)];
  }

 private:
  template <class Stored>
  void fill(std::int64_t rows, std::int64_t cols, const MatrixLayout& layout, unsigned seed) {
    constexpr auto size = static_cast<std::int64_t>(sizeof(Stored));
    view_.row_stride = layout.row_stride * size;
    view_.col_stride = layout.col_stride * size;
    const std::int64_t row_span = (rows - 1) * view_.row_stride, col_span = (cols - 1) * view_.col_stride;
    const std::int64_t before = -(std::min<std::int64_t>(row_span, 0) + std::min<std::int64_t>(col_span, 0));
    memory_.resize(static_cast<std::size_t>(std::abs(row_span) + std::abs(col_span) + size + layout.misaligned));
    memory_.shrink_to_fit();
    char* origin = memory_.data() + before + layout.misaligned;
    view_.data = origin;
    std::mt19937 random(seed);
    const int lowest = std::is_unsigned_v<Stored> ? 0 : -6, highest = view_.dtype == Dtype::boolean ? 1 : 7;
    std::uniform_int_distribution<int> integer(lowest, highest);
    for (std::int64_t i = 0; i < rows; i++)
      for (std::int64_t k = 0; k < cols; k++) {
        const Stored element = narrow<Stored>(static_cast<float>(integer(random)));
        std::memcpy(origin + i * view_.row_stride + k * view_.col_stride, &element, sizeof element);
      }
    for (std::int64_t i = 0; i < rows; i++)  // read back: rows may share memory
      for (std::int64_t k = 0; k < cols; k++)
        values_.push_back(load_element<double, Stored>(origin + i * view_.row_stride + k * view_.col_stride));
  }

  std::vector<char> memory_;
  std::vector<double> values_;
  std::vector<std::int64_t> order_;
  std::int64_t cols_;
  ArrayView view_;
};

template <class T>
std::vector<T> random_values(std::size_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<T> real(-2, 2);
  std::vector<T> values(count);
  for (T& value : values) value = real(random);
  return values;
}

template <class T>
std::vector<T> random_integers(std::size_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::uniform_int_distribution<int> integer(-6, 7);
  std::vector<T> values(count);
  for (T& value : values) value = static_cast<T>(integer(random));
  return values;
}

}  // namespace gramless::testing
