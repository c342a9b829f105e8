// Walk over tiles -> logits -> each anchor's softmax sums: the forward pass of the contrastive losses.
#include "reductions/softmax_sums.hpp"

#include "epilogues/logit.hpp"
#include "ops/contrast/contrast_walk.hpp"

namespace gramless {
inline namespace GRAMLESS_ISA {
namespace {

AnchorSums from(const AnchorSums& sums, std::int64_t first) {
  return {sums.shift + first, sums.negative + first, sums.positive + first, sums.positive_logit + first};
}

template <class T>
class SoftmaxWalk {
 public:
  SoftmaxWalk(const SoftmaxSumsTask& task, const Execution& execution)
      : task_(task), pairs_(task.pairs), tiles_(task.pairs, execution) {}

  void run() const {
    tiles_.walk_blocks(tiles_.plan(1), [&](std::int64_t a, std::int64_t b, char* memory) {
      const Tile<T> dots = tiles_.dot_products(a, b, memory), compared = tiles_.compared(dots, a, b, memory);
      with_rule(tiles_.rule(a, b), [&](auto rule) { add<decltype(rule)::value>(dots, compared, a, b); });
    });
  }

 private:
  template <TileRule rule>
  void add(const Tile<T>& tile, const Tile<T>& compared, std::int64_t a, std::int64_t b) const {
    const bool self = tiles_.self(a, b);
    const std::int64_t row = pairs_.rows.blocks[a].first, column = pairs_.columns.blocks[b].first;
    const AnchorSide<T> rows{rule_of<T>(pairs_.rows, row), from(task_.rows, row)};
    AnchorSide<T> columns{rule_of<T>(pairs_.columns, column), {}};
    const bool columns_are_anchors = !self && task_.columns.shift != nullptr;
    if (columns_are_anchors) columns.sums = from(task_.columns, column);
    const T scale = static_cast<T>(pairs_.scale), shift = static_cast<T>(pairs_.shift);
    if (pairs_.running) {
      const Logit<T, true> logit{scale, shift};
      raise_shifts<rule>(tile, compared, self, logit, rows, columns, columns_are_anchors, task_.positives_raise);
      add_softmax_sums<rule>(tile, compared, self, logit, rows, columns, columns_are_anchors);
    } else {
      const Logit<T, false> logit{scale, shift};
      add_softmax_sums<rule>(tile, compared, self, logit, rows, columns, columns_are_anchors);
    }
  }

  const SoftmaxSumsTask& task_;
  const PairProblem& pairs_;
  const GuidedWalk<T> tiles_;
};

}  // namespace

std::size_t dots_bytes(const PairProblem& pairs, const Execution& execution) {
  if (execution.compute == Compute::float32) return ContrastWalk<float>(pairs, execution).dots_bytes();
  return ContrastWalk<double>(pairs, execution).dots_bytes();
}

void softmax_sums(const SoftmaxSumsTask& task, const Execution& execution) {
  if (execution.compute == Compute::float32)
    SoftmaxWalk<float>(task, execution).run();
  else
    SoftmaxWalk<double>(task, execution).run();
}

}  // namespace GRAMLESS_ISA
}  // namespace gramless
