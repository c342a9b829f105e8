// Reduction across layers: inner products of their tiles, read as long vectors. Float32 along a segment, float64
// across.
#pragma once

#include "engine/tile.hpp"

namespace gramless {
inline namespace GRAMLESS_ISA {

namespace detail {

// products[a][b] += <first[a], second[b]> over `length` values, a multiple of the vector width.
template <int Rows, int Cols, class T>
void add_inner_products(const T* first, const T* second, std::int64_t layer_stride, int length, double* products,
                        std::int64_t products_stride) {
  constexpr int unroll = Rows * Cols >= 8 ? 1 : Rows * Cols >= 4 ? 2 : 4;  // enough sums to hide the FMA's latency
  Vector<T> sums[unroll][Rows][Cols] = {};
  const auto step = [&](int e, int u) {
    Vector<T> b[Cols];
#pragma GCC unroll 4
    for (int j = 0; j < Cols; j++) b[j] = load<Vector<T>>(second + j * layer_stride + e);
#pragma GCC unroll 4
    for (int i = 0; i < Rows; i++) {
      const Vector<T> a = load<Vector<T>>(first + i * layer_stride + e);
#pragma GCC unroll 4
      for (int j = 0; j < Cols; j++) sums[u][i][j] += a * b[j];
    }
  };
  int e = 0;
  for (; e + unroll * lanes<T> <= length; e += unroll * lanes<T>) {
#pragma GCC unroll 4
    for (int u = 0; u < unroll; u++) step(e + u * lanes<T>, u);
  }
  for (; e < length; e += lanes<T>) step(e, 0);
  for (int i = 0; i < Rows; i++)
    for (int j = 0; j < Cols; j++) {
      double sum = 0;
      for (int u = 0; u < unroll; u++) sum += horizontal_sum<T>(sums[u][i][j]);
      products[i * products_stride + j] += sum;
    }
}

template <int Rows, class T>
GRAMLESS_INLINE void add_row_of_blocks(const T* first, const T* second, std::int64_t layers, std::int64_t layer_stride,
                                       int length, double* products, std::int64_t products_stride) {
  std::int64_t j = 0;
  for (; j + 3 <= layers; j += 3)
    add_inner_products<Rows, 3>(first, second + j * layer_stride, layer_stride, length, products + j, products_stride);
  if (j + 2 == layers)
    return add_inner_products<Rows, 2>(first, second + j * layer_stride, layer_stride, length, products + j,
                                       products_stride);
  for (; j < layers; j++)
    add_inner_products<Rows, 1>(first, second + j * layer_stride, layer_stride, length, products + j, products_stride);
}

}  // namespace detail

// products[a][b] += <first[a], second[b]>, for rows [0, rows) and columns [0, cols) of layers, layer_stride values
// apart. With `symmetric`, first and second are the same layers and entries well left of the diagonal are left out.
template <class T>
void add_layer_products(const T* first, std::int64_t rows, const T* second, std::int64_t cols,
                        std::int64_t layer_stride, std::int64_t values, bool symmetric, double* products,
                        std::int64_t products_stride) {
  constexpr int segment = 1024;  // of 50 layers: 200 KB of L2
  for (std::int64_t start = 0; start < values; start += segment) {
    const int length = static_cast<int>(std::min<std::int64_t>(segment, values - start));
    for (std::int64_t i = 0; i < rows;) {
      const std::int64_t left = symmetric ? i : 0;
      const T* a = first + i * layer_stride + start;
      const T* b = second + left * layer_stride + start;
      double* out = products + i * products_stride + left;
      const std::int64_t block = std::min<std::int64_t>(4, rows - i);
      const auto add = [&]<int Rows>() {
        detail::add_row_of_blocks<Rows>(a, b, cols - left, layer_stride, length, out, products_stride);
      };
      if (block == 4)
        add.template operator()<4>();
      else if (block == 3)
        add.template operator()<3>();
      else if (block == 2)
        add.template operator()<2>();
      else
        add.template operator()<1>();
      i += block;
    }
  }
}

}  // namespace GRAMLESS_ISA
}  // namespace gramless
