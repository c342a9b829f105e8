// Walk over tiles -> softplus and sigmoid of the logits -> sums of rows, and gradients of rows and columns: forward and
// backward of the sigmoid loss at once.
#include "epilogues/softplus.hpp"
#include "ops/contrast/contrast_walk.hpp"
#include "reductions/add_sigmoid_sums.hpp"
#include "reductions/times_rows.hpp"

namespace gramless {
inline namespace GRAMLESS_ISA {
namespace {

SigmoidSums from(const SigmoidSums& sums, std::int64_t first) {
  return {sums.loss + first, sums.slope + first, sums.slope_dot + first};
}

template <class T>
void add_gradient(const Weights<T>& weights, const PairSide& side, std::int64_t block, std::int64_t width, void* grad) {
  if (grad == nullptr) return;
  const T* z = static_cast<const T*>(side.z) + side.blocks[block].first * side.stride;
  add_times_rows(weights, RowSpan<const T>{z, side.stride}, width, RowSpan<T>{static_cast<T*>(grad), width});
}

template <class T>
void add_pairs(const SigmoidPairsTask& task, const Execution& execution) {
  const PairProblem& pairs = task.pairs;
  const ContrastWalk<T> tiles(pairs, execution);
  const PairLogit<T> logit{static_cast<T>(pairs.scale), static_cast<T>(task.bias)};
  tiles.for_each(3, [&](const Tile<T>& tile, std::int64_t a, std::int64_t b) {
    const std::int64_t row = pairs.rows.blocks[a].first, column = pairs.columns.blocks[b].first;
    const T* weights = static_cast<const T*>(task.weights) + row;
    add_sigmoid_sums(tile, task.first_positive + row - column, logit, weights, from(task.sums, row));
    add_gradient(weights_of(tile), pairs.columns, b, pairs.width, task.row_grads[a]);
    add_gradient(transposed(tile), pairs.rows, a, pairs.width, task.column_grads[b]);
  });
}

}  // namespace

void sigmoid_pairs(const SigmoidPairsTask& task, const Execution& execution) {
  if (execution.compute == Compute::float32)
    add_pairs<float>(task, execution);
  else
    add_pairs<double>(task, execution);
}

}  // namespace GRAMLESS_ISA
}  // namespace gramless
