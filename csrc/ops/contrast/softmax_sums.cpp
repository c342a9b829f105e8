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
    tiles_.for_each(1, [&](const Tile<T>& tile, std::int64_t a, std::int64_t b) {
      with_rule(tiles_.rule(a, b), [&](auto rule) { add<decltype(rule)::value>(tile, a, b); });
    });
  }

 private:
  template <TileRule rule>
  void add(const Tile<T>& tile, std::int64_t a, std::int64_t b) const {
    const bool self = tiles_.self(a, b);
    const std::int64_t row = pairs_.rows.blocks[a].first, column = pairs_.columns.blocks[b].first;
    const AnchorSide<T> rows{rule_of<T>(pairs_.rows, row), from(task_.rows, row)};
    AnchorSide<T> columns{rule_of<T>(pairs_.columns, column), {}};
    const bool columns_are_anchors = !self && task_.columns.shift != nullptr;
    if (columns_are_anchors) columns.sums = from(task_.columns, column);
    const T scale = static_cast<T>(pairs_.scale), shift = static_cast<T>(pairs_.shift);
    if (pairs_.running) {
      const Logit<T, true> logit{scale, shift};
      raise_shifts<rule>(tile, self, logit, rows, columns, columns_are_anchors, task_.positives_raise);
      add_softmax_sums<rule>(tile, self, logit, rows, columns, columns_are_anchors);
    } else {
      add_softmax_sums<rule>(tile, self, Logit<T, false>{scale, shift}, rows, columns, columns_are_anchors);
    }
  }

  const SoftmaxSumsTask& task_;
  const PairProblem& pairs_;
  const ContrastWalk<T> tiles_;
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
