#include "ops/sigmoid/sigmoid_loss.hpp"

#include <algorithm>

#include "ops/contrast/contrast_rows.hpp"
#include "ops/dispatch/padded_values.hpp"

namespace gramless {
namespace {

ContrastRows rows_of(const ArrayView& x, bool normalize, const OpTable& ops, const Execution& execution) {
  return {{x}, std::vector<std::int64_t>(static_cast<std::size_t>(x.rows), 0), {}, {}, normalize, ops, execution};
}

// Zeroes a gradient. Returns the first row of every block in it, null if none is wanted.
std::vector<void*> start(const ContrastRows& rows, void* grad, Compute compute) {
  if (grad == nullptr) return std::vector<void*>(rows.blocks().size(), nullptr);
  const std::int64_t row_bytes = rows.width() * static_cast<std::int64_t>(element_bytes(compute));
  std::fill_n(static_cast<char*>(grad), rows.rows() * row_bytes, char{0});
  std::vector<void*> blocks;
  for (const RowBlock& block : rows.blocks()) blocks.push_back(static_cast<char*>(grad) + block.first * row_bytes);
  return blocks;
}

// Turns the sums over pairs into the gradient: times the scale, then back through the normalisation.
void finish(const ContrastRows& rows, void* grad, const SigmoidProblem& problem, const OpTable& ops,
            const Execution& execution) {
  if (grad == nullptr) return;
  std::vector<double> alignments(static_cast<std::size_t>(rows.rows()));
  ops.finish_grad({rows.z(0), rows.stride(), rows.rows(), rows.width(),
                   problem.normalize ? rows.inverse_norms(0) : nullptr, problem.scale, grad, alignments.data()},
                  execution);
}

}  // namespace

SigmoidValues sigmoid_loss(const SigmoidProblem& problem, std::span<const double> weights, void* grad_a, void* grad_b,
                           const OpTable& ops, const Execution& execution) {
  const OpTable& table = table_for(problem.normalize, ops);
  const ContrastRows a = rows_of(problem.a, problem.normalize, table, execution),
                     b = rows_of(problem.b, problem.normalize, table, execution);
  SigmoidValues found;
  for (const auto values : SigmoidValues::arrays()) (found.*values).assign(static_cast<std::size_t>(a.rows()), 0.0);
  const AlignedBuffer of_rows = padded_values({weights.begin(), weights.end()}, execution.compute);
  const std::vector<void*> blocks_a = start(a, grad_a, execution.compute),
                           blocks_b = start(b, grad_b, execution.compute);
  PairProblem pairs;
  pairs.rows = a.side();
  pairs.columns = b.side();
  pairs.symmetric = false;
  pairs.width = a.width();
  pairs.scale = problem.scale;
  const SigmoidPairsTask task{pairs,
                              problem.bias,
                              problem.first_positive,
                              {found.loss.data(), found.slope.data(), found.slope_dot.data()},
                              of_rows.data(),
                              blocks_a.data(),
                              blocks_b.data()};
  table.sigmoid_pairs(task, execution);
  finish(a, grad_a, problem, table, execution);
  finish(b, grad_b, problem, table, execution);
  return found;
}

}  // namespace gramless
