// Walk over tiles -> derivatives with respect to the logits -> gradients of rows and columns: the backward pass of the
// contrastive losses.
#include "epilogues/softmax_grad.hpp"

#include "ops/contrast/contrast_walk.hpp"
#include "reductions/times_rows.hpp"

namespace gramless {
inline namespace GRAMLESS_ISA {
namespace {

template <class T>
class SoftmaxGradWalk {
 public:
  SoftmaxGradWalk(const SoftmaxGradTask& task, const Execution& execution)
      : task_(task), pairs_(task.pairs), tiles_(task.pairs, execution) {}

  void run() const {
    tiles_.walk_blocks(tiles_.plan(3), [&](std::int64_t a, std::int64_t b, char* memory) {
      const Tile<T> dots = tiles_.dot_products(a, b, memory), compared = tiles_.compared(dots, a, b, memory),
                    derivatives = tiles_.scratch_tile(a, b, memory);
      with_rule(tiles_.rule(a, b),
                [&](auto rule) { differentiate<decltype(rule)::value>(dots, compared, derivatives, a, b); });
      add_gradients(derivatives, a, b);
    });
  }

 private:
  template <TileRule rule>
  void differentiate(const Tile<T>& dots, const Tile<T>& compared, const Tile<T>& derivatives, std::int64_t a,
                     std::int64_t b) const {
    const AnchorCoefficients<T> rows = coefficients(pairs_.rows, task_.rows, a),
                                columns = coefficients(pairs_.columns, task_.columns, b);
    const T scale = static_cast<T>(pairs_.scale), shift = static_cast<T>(pairs_.shift);
    if (pairs_.running)
      softmax_grad<rule>(dots, compared, derivatives, tiles_.self(a, b), Logit<T, true>{scale, shift}, rows, columns);
    else
      softmax_grad<rule>(dots, compared, derivatives, tiles_.self(a, b), Logit<T, false>{scale, shift}, rows, columns);
  }

  AnchorCoefficients<T> coefficients(const PairSide& side, const CoefficientArrays& arrays, std::int64_t block) const {
    const std::int64_t first = side.blocks[block].first;
    const auto from = [&](const void* values) { return static_cast<const T*>(values) + first; };
    return {rule_of<T>(side, first), from(arrays.shift),         from(arrays.negative),
            from(arrays.positive),   from(arrays.positive_mean), from(arrays.positive_offset)};
  }

  void add_gradients(const Tile<T>& tile, std::int64_t a, std::int64_t b) const {
    const std::int64_t row = pairs_.rows.blocks[a].first, column = pairs_.columns.blocks[b].first;
    if (T* grad = static_cast<T*>(task_.row_grads[a])) {
      const T* z = static_cast<const T*>(pairs_.columns.z) + column * pairs_.columns.stride;
      add_times_rows(weights_of(tile), RowSpan<const T>{z, pairs_.columns.stride}, pairs_.width,
                     RowSpan<T>{grad, pairs_.width});
    }
    if (tiles_.self(a, b)) return;
    if (T* grad = static_cast<T*>((pairs_.symmetric ? task_.row_grads : task_.column_grads)[b])) {
      const T* z = static_cast<const T*>(pairs_.rows.z) + row * pairs_.rows.stride;
      add_times_rows(transposed(tile), RowSpan<const T>{z, pairs_.rows.stride}, pairs_.width,
                     RowSpan<T>{grad, pairs_.width});
    }
  }

  const SoftmaxGradTask& task_;
  const PairProblem& pairs_;
  const GuidedWalk<T> tiles_;
};

}  // namespace

void softmax_grad(const SoftmaxGradTask& task, const Execution& execution) {
  if (execution.compute == Compute::float32)
    SoftmaxGradWalk<float>(task, execution).run();
  else
    SoftmaxGradWalk<double>(task, execution).run();
}

}  // namespace GRAMLESS_ISA
}  // namespace gramless
