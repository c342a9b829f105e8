// Reduction across layers: inner products of their tiles, read as long vectors. Float32 along a run of segments,
// float64 across.
#pragma once

#include "engine/tile/tile.hpp"

namespace gramless {
inline namespace GRAMLESS_ISA {

// Layers of values, `stride` apart: rows of them and columns.
template <class T>
struct LayerPairs {
  const T* first;  // (rows)
  std::int64_t rows;
  const T* second;  // (cols)
  std::int64_t cols, stride;
  bool symmetric;    // second is first, and products well left of the diagonal are left out
  double* products;  // (rows, cols), products_stride apart
  std::int64_t products_stride;
  T* kept;  // (kept_values): sums carried from segment to segment
};

namespace detail {

constexpr std::int64_t segment_values = 1024, run_segments = 4;  // of 50 layers: 200 KB of L2
// Blocks of products: accumulators that fit the registers.
constexpr int most_rows = vector_bytes == 64 ? 6 : 4, most_cols = vector_bytes == 64 ? 4 : 3;

// Prefetches cache lines of the next segment between multiplications, one layer after the other.
class NextSegment {
 public:
  NextSegment(const void* begin, std::int64_t bytes, std::int64_t layer_bytes, std::int64_t layers)
      : next_(static_cast<const char*>(begin)),
        end_(next_ + bytes),
        bytes_(bytes),
        layer_bytes_(layer_bytes),
        left_(layers) {}

  GRAMLESS_INLINE void fetch_line() {
    if (left_ == 0) return;
    __builtin_prefetch(next_, 0, 2);
    next_ += 64;
    if (next_ < end_) return;
    end_ += layer_bytes_;
    next_ = end_ - bytes_;
    left_--;
  }

 private:
  const char *next_, *end_;
  std::int64_t bytes_, layer_bytes_, left_;
};

// A segment of a run: the first starts sums, the last adds them to products, and between them they are kept.
template <class T>
struct Segment {
  int length;
  bool first, last;
  T* kept;  // of the next block
  NextSegment next;
};

// products[a][b] += <first[a], second[b]>, for a block of them.
template <int Rows, int Cols, class T>
void add_pairs_of_layers(const LayerPairs<T>& pairs, const T* first, const T* second, double* products,
                         Segment<T>& segment) {
  // Enough sums to hide the FMA's latency. A single row always has the same number, so that a product does not depend
  // on how many columns are summed with it.
  constexpr int unroll = Rows == 1 ? 4 : Rows * Cols >= 8 ? 1 : Rows * Cols >= 4 ? 2 : 4;
  Vector<T> sums[unroll][Rows][Cols] = {};
  const auto each_sum = [&](auto use) GRAMLESS_INLINE_LAMBDA {
#pragma GCC unroll 4
    for (int u = 0; u < unroll; u++)
#pragma GCC unroll 6
      for (int i = 0; i < Rows; i++)
#pragma GCC unroll 4
        for (int j = 0; j < Cols; j++) use(sums[u][i][j], segment.kept + ((u * Rows + i) * Cols + j) * lanes<T>);
  };
  if (!segment.first)
    each_sum([](Vector<T>& sum, const T* kept) GRAMLESS_INLINE_LAMBDA { sum = load<Vector<T>>(kept); });
  const auto step = [&](int e, int u) GRAMLESS_INLINE_LAMBDA {
    Vector<T> b[Cols];
#pragma GCC unroll 4
    for (int j = 0; j < Cols; j++) b[j] = load<Vector<T>>(second + j * pairs.stride + e);
#pragma GCC unroll 6
    for (int i = 0; i < Rows; i++) {
      const Vector<T> a = load<Vector<T>>(first + i * pairs.stride + e);
#pragma GCC unroll 4
      for (int j = 0; j < Cols; j++) sums[u][i][j] += a * b[j];
    }
  };
  int e = 0;
  for (; e + unroll * lanes<T> <= segment.length; e += unroll * lanes<T>) {
    segment.next.fetch_line();
#pragma GCC unroll 4
    for (int u = 0; u < unroll; u++) step(e + u * lanes<T>, u);
  }
  for (; e < segment.length; e += lanes<T>) step(e, 0);
  if (!segment.last) {
    each_sum([](const Vector<T>& sum, T* kept) GRAMLESS_INLINE_LAMBDA { store(kept, sum); });
  } else {
#pragma GCC unroll 6
    for (int i = 0; i < Rows; i++)
#pragma GCC unroll 4
      for (int j = 0; j < Cols; j++) {
        double sum = 0;
        for (int u = 0; u < unroll; u++) sum += horizontal_sum<T>(sums[u][i][j]);
        products[i * pairs.products_stride + j] += sum;
      }
  }
  segment.kept += unroll * Rows * Cols * lanes<T>;
}

// Cuts the columns into blocks, from the widest to single ones.
template <int Rows, int Cols, class T>
GRAMLESS_INLINE void add_blocks(const LayerPairs<T>& pairs, const T* first, const T* second, std::int64_t cols,
                                double* products, Segment<T>& segment) {
  std::int64_t j = 0;
  for (; j + Cols <= cols; j += Cols)
    add_pairs_of_layers<Rows, Cols>(pairs, first, second + j * pairs.stride, products + j, segment);
  if constexpr (Cols > 1)
    add_blocks<Rows, Cols - 1>(pairs, first, second + j * pairs.stride, cols - j, products + j, segment);
}

template <int Rows, class T>
GRAMLESS_INLINE std::int64_t add_rows(const LayerPairs<T>& pairs, std::int64_t i, std::int64_t start,
                                      Segment<T>& segment) {
  for (; i + Rows <= pairs.rows; i += Rows) {
    const std::int64_t left = pairs.symmetric ? i : 0;
    add_blocks<Rows, most_cols>(pairs, pairs.first + i * pairs.stride + start,
                                pairs.second + left * pairs.stride + start, pairs.cols - left,
                                pairs.products + i * pairs.products_stride + left, segment);
  }
  constexpr int fewer = Rows > 4 ? 4 : Rows - 1;
  if constexpr (fewer > 0) i = add_rows<fewer>(pairs, i, start, segment);
  return i;
}

}  // namespace detail

// How many values `kept` must hold.
template <class T>
constexpr std::int64_t kept_product_values(std::int64_t rows, std::int64_t cols) {
  return (rows + 2 * detail::most_rows) * (cols + 2 * detail::most_cols) * lanes<T>;
}

// products[a][b] += <first[a], second[b]>, over so many values of each layer, a multiple of the vector width.
template <class T>
void add_layer_products(const LayerPairs<T>& pairs, std::int64_t values) {
  constexpr std::int64_t most = detail::segment_values, run = detail::run_segments * most;
  for (std::int64_t start = 0; start < values; start += most) {
    const std::int64_t end = std::min(start + most, values), next_end = std::min(end + most, values);
    constexpr auto size = static_cast<std::int64_t>(sizeof(T));
    detail::Segment<T> segment{
        static_cast<int>(end - start),
        start % run == 0,
        end % run == 0 || end == values,
        pairs.kept,
        {pairs.second + end, (next_end - end) * size, pairs.stride * size, next_end > end ? pairs.cols : 0}};
    detail::add_rows<detail::most_rows>(pairs, 0, start, segment);
  }
}

// products += <a, a>, <a, b>, <b, b>
template <class T>
void add_pair_products(const T* a, const T* b, std::int64_t values, double (&products)[3]) {
  constexpr int unroll = 4;
  constexpr std::int64_t step = unroll * lanes<T>;
  for (std::int64_t start = 0; start < values; start += detail::segment_values) {
    const std::int64_t end = std::min(start + detail::segment_values, values);
    Vector<T> sums[unroll][3] = {};
    const auto add = [&](std::int64_t e, int u) GRAMLESS_INLINE_LAMBDA {
      const Vector<T> of_a = load<Vector<T>>(a + e), of_b = load<Vector<T>>(b + e);
      sums[u][0] += of_a * of_a;
      sums[u][1] += of_a * of_b;
      sums[u][2] += of_b * of_b;
    };
    std::int64_t e = start;
    for (; e + step <= end; e += step)
#pragma GCC unroll 4
      for (int u = 0; u < unroll; u++) add(e + u * lanes<T>, u);
    for (; e < end; e += lanes<T>) add(e, 0);
    for (int p = 0; p < 3; p++)
      for (int u = 0; u < unroll; u++) products[p] += horizontal_sum<T>(sums[u][p]);
  }
}

}  // namespace GRAMLESS_ISA
}  // namespace gramless
