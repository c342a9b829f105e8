// Walk along a block of rows -> derivatives by the logits -> gradients of the rows: the CUDA twin of softmax_grad.cpp.
// A block owns its rows and meets all columns, so nobody else adds to their gradients.
#include "ops/softmax_grad.cuh"

#include "engine/pair_tile.cuh"
#include "epilogues/logit.cuh"

namespace gramless::cuda {
namespace {

// Of a row's gradient, as many slices as registers hold beside a tile.
template <class Operand>
constexpr int grad_slices = is_scaled<Operand> ? 6 : 8;

// The coefficients of one anchor.
template <class T>
struct Coefficient {
  T shift, negative, positive, positive_mean, positive_offset, limit;

  __device__ Coefficient(const DeviceCoefficients<T>& arrays, int i)
      : shift(arrays.shift[i]),
        negative(arrays.negative[i]),
        positive(arrays.positive[i]),
        positive_mean(arrays.positive_mean[i]),
        positive_offset(arrays.positive_offset[i]),
        limit(arrays.limit[i]) {}

  // Its share in the derivative by the logit of a pair, with e = exp(logit - shift).
  __device__ T share(T e, T dot, bool is_positive) const {
    return is_positive ? (e - positive_mean) * positive - positive_offset : dot > limit ? T(0) : e * negative;
  }
};

// What a tile needs of the anchors in its rows or columns.
template <class T>
struct TileAnchors {
  DeviceCoefficients<T> coefficients;
  const std::int32_t* groups;
};
template <class T>
__device__ TileAnchors<T> anchors_from(const DeviceCoefficients<T>& arrays, const std::int32_t* groups,
                                       std::int64_t first) {
  return {{arrays.shift + first, arrays.negative + first, arrays.positive + first, arrays.positive_mean + first,
           arrays.positive_offset + first, arrays.limit + first},
          groups + first};
}

template <class Operand>
struct GradTask {
  DevicePairs<Operand> pairs;
  DeviceCoefficients<typename Operand::Value> rows, columns;
  std::int64_t padded_rows;
  typename Operand::Value* partials;  // (strips, padded rows, stride)
};

// Dot products become derivatives; what the tile does not own becomes 0. Arrays begin with the tile's first row or
// column.
template <bool Plain, bool Running, class Operand, class Tile, class T>
__device__ void differentiate(Tile& tile, const PairTile& place, const TileAnchors<T>& rows,
                              const TileAnchors<T>& columns, T fixed_shift, const Logit<Operand> logit_of) {
#pragma unroll
  for (int c = 0; c < tile.own_cols; c++) {
    if (!Plain || Running || is_scaled<Operand>) forget_loads();  // reads again what no register is left for
    const int j = tile.col(c);
    const Coefficient<T> of_column(columns.coefficients, j);
    const std::int32_t group = columns.groups[j];
#pragma unroll
    for (int r = 0; r < tile.own_rows; r++) {
      const Coefficient<T> of_row(rows.coefficients, tile.row(r));
      const T logit = logit_of(tile.at(r, c));
      const T e = logit_of.template weight<Running>(logit, Running ? of_row.shift : fixed_shift);
      const T e_column = Running ? logit_of.template weight<Running>(logit, of_column.shift) : e;
      if constexpr (Plain) {
        tile.at(r, c) = e * of_row.negative + e_column * of_column.negative;
      } else {
        const bool positive = group >= 0 && rows.groups[tile.row(r)] == group;
        const T dot = tile.at(r, c), sum = of_row.share(e, dot, positive) + of_column.share(e_column, dot, positive);
        tile.at(r, c) = place.owns(tile.row(r), j) ? sum : T(0);
      }
    }
  }
}

template <class Operand>
__device__ void differentiate_strip(const GradTask<Operand>& task, std::int64_t first_tile, std::int64_t last_tile) {
  using Shape = GradShape<Operand>;
  using Tile = DotTile<Operand, Shape>;
  using Product = TimesRows<Operand, Shape, grad_slices<Operand>>;
  using T = typename Operand::Value;
  static_assert(Product::block_bytes <= Tile::ring_bytes);
  const DevicePairs<Operand>& pairs = task.pairs;
  char* const memory = shared_memory<char>();
  Tile tile(memory);
  Product product(memory);
  const Logit<Operand> logit_of{static_cast<T>(pairs.packed_scale())};
  const std::int64_t first_row = std::int64_t{blockIdx.x} * Shape::rows;
  const TileAnchors<T> rows = anchors_from(task.rows, pairs.rows.groups, first_row);
  const int first_slice = static_cast<int>(blockIdx.z) * Product::chunk, left = pairs.rows.rows.slices - first_slice;
  const int slices = left < Product::chunk ? left : Product::chunk;
  for (std::int64_t t = first_tile; t < last_tile; t++) {
    const std::int64_t first_col = t * Shape::cols;
    tile.multiply(pairs.rows.rows, first_row, pairs.columns.rows, first_col);
    product.load(pairs.columns.rows, first_col, first_slice, slices);  // on its way while the tile is differentiated
    const PairTile place(first_row, pairs.rows.count, first_col, pairs.columns.count, pairs.symmetric);
    const bool plain = place.whole(Shape::rows, Shape::cols) && pairs.all_negative(blockIdx.x, t);
    const TileAnchors<T> columns = anchors_from(task.columns, pairs.columns.groups, first_col);
    const auto replace = [&]<bool Plain, bool Running>() {
      differentiate<Plain, Running>(tile, place, rows, columns, static_cast<T>(pairs.scales->shift), logit_of);
    };
    if (pairs.scales->running)
      plain ? replace.template operator()<true, true>() : replace.template operator()<false, true>();
    else
      plain ? replace.template operator()<true, false>() : replace.template operator()<false, false>();
    product.add(tile, slices);
  }
  const std::int64_t stride = pairs.rows.rows.stride();
  const std::int64_t of_warp = first_row + static_cast<int>(threadIdx.x) / warp_lanes * Shape::warp_rows;
  T* const out = task.partials + (blockIdx.y * task.padded_rows + of_warp) * stride + first_slice * Product::slice;
  product.for_each(slices, [&](int row, int k, T sum) { out[row * stride + k] = sum; });
}

// Block (x, y, z): a block of rows against a strip of columns, for some of the width.
template <class Operand>
__global__ void __launch_bounds__(GradShape<Operand>::threads)
    grad_of_rows(GradTask<Operand> task, std::int64_t tiles) {
  const std::int64_t strip = blockIdx.y, strips = gridDim.y;
  const std::int64_t first = tiles * strip / strips, last = tiles * (strip + 1) / strips;
  differentiate_strip(task, first, last);
}

}  // namespace

template <class Operand>
SoftmaxGrad<Operand>::SoftmaxGrad(std::int64_t rows, std::int64_t columns, std::int64_t width, DeviceLayout& layout)
    : rows_(rows),
      slices_(static_cast<int>(blocks_of(width, slice_elements<Operand>))),
      chunks_(static_cast<int>(blocks_of(slices_, grad_slices<Operand>))) {
  strips_ = strips_of<Operand>(rows, columns, chunks_);
  partials_ =
      layout.take<Value>(strips_ * DeviceContrastRows<Operand>::padded(rows) * slices_ * slice_elements<Operand>);
}

template <class Operand>
void SoftmaxGrad<Operand>::run(const DevicePairs<Operand>& pairs, const DeviceCoefficients<Value>& rows,
                               const DeviceCoefficients<Value>& columns, Queue& queue) const {
  using Shape = GradShape<Operand>;
  const GradTask<Operand> task{pairs, rows, columns, DeviceContrastRows<Operand>::padded(rows_), partials_};
  queue.launch(grad_of_rows<Operand>,
               {static_cast<unsigned>(blocks_of(rows_, Shape::rows)), static_cast<unsigned>(strips_),
                static_cast<unsigned>(chunks_)},
               Shape::threads, DotTile<Operand, Shape>::ring_bytes, task, blocks_of(pairs.columns.count, Shape::cols));
}

template class SoftmaxGrad<BfloatOperand>;
template class SoftmaxGrad<HalfOperand>;
template class SoftmaxGrad<SplitOperand>;
template class SoftmaxGrad<DoubleOperand>;

}  // namespace gramless::cuda
