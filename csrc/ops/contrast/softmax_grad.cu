// Walk along a block of rows -> derivatives with respect to the logits -> gradients of the rows: the CUDA twin of
// softmax_grad.cpp. A block owns its rows and goes through all columns, so no other block adds to their gradients.
#include "ops/contrast/softmax_grad_task.cuh"
#include "ops/contrast/softmax_hopper.cuh"

namespace gramless::cuda {
namespace {

// How many slices of a row's gradient registers hold beside a tile.
template <class Operand>
constexpr int grad_slices = is_scaled<Operand> ? 6 : 8;

template <class Operand>
__device__ void differentiate_strip(const SoftmaxGradTask<Operand>& task, std::int64_t first_tile,
                                    std::int64_t last_tile) {
  using Shape = GradShape<Operand>;
  using Tile = DotTile<Operand, Shape>;
  using Product = TimesRows<Operand, Shape, grad_slices<Operand>>;
  using T = typename Operand::Value;
  static_assert(Product::block_bytes <= Tile::ring_bytes);
  const DevicePairs<Operand>& pairs = task.pairs;
  char* const memory = shared_memory<char>();
  Tile tile(memory);
  Product product(memory);
  const Logit<Operand> logit_of = pairs.logits();
  const std::int64_t first_row = std::int64_t{blockIdx.x} * Shape::rows;
  const TileAnchors<T> rows = anchors_from(task.rows, pairs.rows.groups, first_row);
  const SliceRange slices = Product::slices_of_block(pairs.rows.rows.slices);
  for (std::int64_t t = first_tile; t < last_tile; t++) {
    const std::int64_t first_col = t * Shape::cols;
    tile.multiply(pairs.rows.rows, first_row, pairs.columns.rows, first_col);
    product.load(pairs.columns.rows, first_col, slices);  // copied while the tile is differentiated
    const OwnedPairs place(first_row, pairs.rows.count, first_col, pairs.columns.count, pairs.symmetric);
    const bool plain = place.whole(Shape::rows, Shape::cols) && pairs.all_negative(blockIdx.x, t);
    const TileAnchors<T> columns = anchors_from(task.columns, pairs.columns.groups, first_col);
    const auto replace = [&]<bool Plain, bool Running>() {
      constexpr bool reread = !Plain || Running || is_scaled<Operand>;
      softmax_grad<Plain, Running, reread>(tile, place, rows, columns, logit_of,
                                           [&](int r, int c, T derivative) { tile.at(r, c) = derivative; });
    };
    if (pairs.scales->running)
      plain ? replace.template operator()<true, true>() : replace.template operator()<false, true>();
    else
      plain ? replace.template operator()<true, false>() : replace.template operator()<false, false>();
    product.add(tile, slices.count);
  }
  product.store(task.partials, task.padded_rows, first_row, pairs.rows.rows.stride(), slices);
}

// Block (x, y, z): a block of rows against a strip of columns, for some of the width.
template <class Operand>
__global__ void __launch_bounds__(GradShape<Operand>::threads)
    grad_of_rows(SoftmaxGradTask<Operand> task, std::int64_t tiles) {
  const auto [first, last] = tiles_of_strip(tiles);
  differentiate_strip(task, first, last);
}

}  // namespace

template <class Operand>
SoftmaxGrad<Operand>::SoftmaxGrad(std::int64_t rows, std::int64_t columns, std::int64_t width, std::int64_t busy_blocks,
                                  DeviceLayout& layout)
    : rows_(rows),
      slices_(static_cast<int>(blocks_of(width, slice_elements<Operand>))),
      chunks_(static_cast<int>(blocks_of(slices_, grad_slices<Operand>))) {
  strips_ = launch_strips<Operand>(rows, columns, chunks_, blocks_at_once(busy_blocks));
  partials_ =
      layout.take<Value>(strips_ * DeviceContrastRows<Operand>::padded(rows) * slices_ * slice_elements<Operand>);
}

template <class Operand>
void SoftmaxGrad<Operand>::run(const DevicePairs<Operand>& pairs, const DeviceCoefficients<Value>& rows,
                               const DeviceCoefficients<Value>& columns, LaunchStream& launches) const {
  using Shape = GradShape<Operand>;
  const SoftmaxGradTask<Operand> task{pairs, rows, columns, DeviceContrastRows<Operand>::padded(rows_), partials_};
  if (hopper_wanted() && grad_of_rows_on_hopper(task, strips_, launches)) return;
  launches.launch(grad_of_rows<Operand>,
                  {static_cast<unsigned>(blocks_of(rows_, Shape::rows)), static_cast<unsigned>(strips_),
                   static_cast<unsigned>(chunks_)},
                  Shape::threads, DotTile<Operand, Shape>::ring_bytes, task,
                  blocks_of(pairs.columns.count, Shape::cols));
}

template class SoftmaxGrad<BfloatOperand>;
template class SoftmaxGrad<HalfOperand>;
template class SoftmaxGrad<SplitOperand>;
template class SoftmaxGrad<DoubleOperand>;

}  // namespace gramless::cuda
