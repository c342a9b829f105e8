// Walk along a block of rows -> the kernel functions of two layers -> derivatives with respect to the values of one ->
// gradients of its rows: the CUDA twin of kernel_grad.cpp.
#include "ops/gram/kernel_grad.cuh"

#include "engine/tile/owned.cuh"
#include "ops/gram/gram_tile.cuh"

namespace gramless::cuda {
namespace {

// How many slices of a row's gradient fit into registers beside the two tiles.
constexpr int grad_slices = 4;

// Replaces dot products by kernel values. There are no gradients for kernels of the distance itself.
template <class Operand, class Tile>
__device__ void evaluate_kernel(Tile& tile, const DeviceLayer<Operand>& layer, std::int64_t first_row,
                                std::int64_t first_col) {
  using T = typename Operand::Value;
  const TileKernel<T> kernel = *layer.kernel;
#pragma unroll
  for (int c = 0; c < tile.own_cols; c++) {
    forget_loads();  // values are read again, for no registers are left
    const std::int64_t j = first_col + tile.col(c);
    const T norm = layer.norms[j], scale = is_scaled<Operand> ? layer.scales[j] : T(1);
#pragma unroll
    for (int r = 0; r < tile.own_rows; r++) {
      const std::int64_t i = first_row + tile.row(r);
      const T row_scale = is_scaled<Operand> ? layer.scales[i] : T(1);
      tile.at(r, c) =
          kernel(tile.at(r, c), layer.norms[i], norm, [&](T dot) { return layer.unscaled(dot, row_scale, scale); });
    }
  }
}

// Replaces kernel values by the weights of the rows and adds up each row's weights. dk/dx_i is slope * x_j for a linear
// kernel and -2 gamma slope (x_i - x_j) for a Gaussian one.
template <class Operand, class Tile>
__device__ void weigh(Tile& tile, Tile& other, const KernelGradTask<Operand>& task, std::int64_t first_row,
                      std::int64_t first_col, double (&sums)[Tile::own_rows]) {
  using T = typename Operand::Value;
  const PairDerivative derivative = *task.derivative;
  const TileKernel<T> kernel = *task.layer.kernel;
  const T own = static_cast<T>(derivative.own), of_other = static_cast<T>(derivative.other),
          constant = static_cast<T>(derivative.constant), lift = static_cast<T>(derivative.scale);
  const OwnedPairs place(first_row, task.rows, first_col, task.rows, true);
  T of_tile[Tile::own_rows] = {};
#pragma unroll
  for (int c = 0; c < tile.own_cols; c++) {
    forget_loads();  // values are read again, for no registers are left
    const std::int64_t j = first_col + tile.col(c);
    const T column_term = task.row_terms[j] + constant, scale = is_scaled<Operand> ? task.layer.scales[j] : T(1);
#pragma unroll
    for (int r = 0; r < tile.own_rows; r++) {
      const T value = tile.at(r, c), slope = kernel.slope(value);
      const T by_value =
          task.row_terms[first_row + tile.row(r)] + column_term + own * value + of_other * other.at(r, c);
      const T weight = place.owns(tile.row(r), tile.col(c)) ? by_value * slope : T(0);
      of_tile[r] += weight;
      tile.at(r, c) = weight * scale * lift;
    }
  }
#pragma unroll
  for (int r = 0; r < tile.own_rows; r++) sums[r] += static_cast<double>(of_tile[r]);
}

// Block (x, y, z): a block of rows against a strip of columns, for some of the width.
template <class Operand>
__global__ void __launch_bounds__(WarpRowsShape<Operand>::threads)
    kernel_grad_of_rows(KernelGradTask<Operand> task, std::int64_t tiles) {
  using Shape = KernelGradShape<Operand>;
  using Tile = DotTile<Operand, Shape>;
  using Product = TimesRows<Operand, Shape, grad_slices>;
  static_assert(Product::block_bytes <= Tile::ring_bytes);
  const auto [first, last] = tiles_of_strip(tiles);
  const std::int64_t first_row = std::int64_t{blockIdx.x} * Shape::rows;
  const SliceRange slices = Product::slices_of_block(task.layer.rows.slices);
  char* const memory = shared_memory<char>();
  Tile tile(memory), other(memory);
  Product product(memory);
  double sums[Tile::own_rows] = {};
  for (std::int64_t t = first; t < last; t++) {
    const std::int64_t first_col = t * Shape::cols;
    other.multiply(task.other.rows, first_row, task.other.rows, first_col);
    evaluate_kernel(other, task.other, first_row, first_col);
    tile.multiply(task.layer.rows, first_row, task.layer.rows, first_col);
    product.load(task.layer.rows, first_col, slices);  // copied while the weights are computed
    evaluate_kernel(tile, task.layer, first_row, first_col);
    weigh(tile, other, task, first_row, first_col, sums);
    product.add(tile, slices.count);
  }
  product.store(task.partials, task.padded_rows, first_row, task.layer.rows.stride(), slices);
#pragma unroll
  for (int r = 0; r < Tile::own_rows; r++) {
    sums[r] += __shfl_xor_sync(all_lanes, sums[r], 1);
    sums[r] += __shfl_xor_sync(all_lanes, sums[r], 2);
    if (threadIdx.x % 4 == 0 && blockIdx.z == 0)
      task.weight_sums[blockIdx.y * task.padded_rows + first_row + tile.row(r)] = sums[r];
  }
}

}  // namespace

template <class Operand>
KernelGrad<Operand>::KernelGrad(std::int64_t rows, std::int64_t width, DeviceLayout& layout)
    : rows_(rows),
      padded_(blocks_of(rows, WarpRowsShape<Operand>::rows) * WarpRowsShape<Operand>::rows),
      slices_(static_cast<int>(blocks_of(width, slice_elements<Operand>))),
      chunks_(static_cast<int>(blocks_of(slices_, grad_slices))) {
  strips_ = launch_strips<Operand>(rows, rows, chunks_, blocks_at_once(of_device));
  partials_ = layout.take<Value>(strips_ * padded_ * slices_ * slice_elements<Operand>);
  weight_sums_ = layout.take<double>(strips_ * padded_);
}

template <class Operand>
void KernelGrad<Operand>::run(const DeviceLayer<Operand>& layer, const DeviceLayer<Operand>& other,
                              const Value* row_terms, const PairDerivative* derivative, LaunchStream& launches) const {
  using Shape = WarpRowsShape<Operand>;
  static_assert(Shape::rows == SquareShape<Operand>::rows);  // layers are padded for one shape and read with the other
  const KernelGradTask<Operand> task{layer, other, rows_, padded_, row_terms, derivative, partials_, weight_sums_};
  launches.launch(
      kernel_grad_of_rows<Operand>,
      {static_cast<unsigned>(padded_ / Shape::rows), static_cast<unsigned>(strips_), static_cast<unsigned>(chunks_)},
      Shape::threads, DotTile<Operand, Shape>::ring_bytes, task, blocks_of(rows_, Shape::cols));
}

template class KernelGrad<BfloatOperand>;
template class KernelGrad<HalfOperand>;
template class KernelGrad<SplitOperand>;
template class KernelGrad<DoubleOperand>;

}  // namespace gramless::cuda
