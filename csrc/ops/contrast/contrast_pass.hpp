// The two passes of a contrastive problem over its tiles: sums forward, gradients backward.
#pragma once

#include <optional>
#include <span>

#include "ops/contrast/contrast.hpp"
#include "ops/contrast/contrast_rows.hpp"
#include "support/workspace.hpp"

namespace gramless {

class ContrastPass {
 public:
  // Reads the arrays of the problem, which need not outlive it.
  ContrastPass(ContrastProblem problem, const OpTable& ops, const Execution& execution);
  ContrastPass(const ContrastPass&) = delete;
  ContrastPass& operator=(const ContrastPass&) = delete;

  // `keep`: the tiles' dot products are kept too, up to the limit of the workspace, so that gradients need not compute
  // them again.
  ContrastSums sums(bool keep, const Execution& execution);

  // Gradients of sum_i row_weights_i loss_i + sum_j column_weights_j column_loss_j. `out`: memory for the gradients of
  // the parts of the anchors, then of the keys, in the compute type; null where none is wanted. Returns the gradient of
  // the temperature.
  double gradients(const ContrastSums& sums, std::span<const double> row_weights,
                   std::span<const double> column_weights, std::span<void* const> out,
                   const Execution& execution) const;

  const ContrastProblem& problem() const { return problem_; }

 private:
  void add_guide(const Execution& execution);
  const ContrastRows& columns() const { return keys_ ? *keys_ : anchors_; }
  std::size_t bytes(const ArrayView& part) const {
    return static_cast<std::size_t>(part.rows * part.cols) * element_bytes(compute_);
  }
  std::vector<void*> start(const ContrastRows& side, void* const* grads, const std::vector<ArrayView>& parts) const;
  double finish(const ContrastRows& side, void* const* grads, const std::vector<ArrayView>& parts,
                const Execution& execution) const;

  const ContrastProblem problem_;
  const OpTable& ops_;
  const Compute compute_;
  const ContrastRows anchors_;
  std::optional<ContrastRows> keys_, guide_anchors_, guide_keys_;
  PairProblem pairs_, guide_;
  Workspace dots_, guide_dots_;
};

}  // namespace gramless
