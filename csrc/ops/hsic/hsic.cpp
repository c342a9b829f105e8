#include "ops/hsic/hsic.hpp"

#include <algorithm>
#include <new>
#include <optional>

#include "ops/hsic/far_rows.hpp"
#include "ops/hsic/hsic_problem.hpp"
#include "ops/hsic/precision.hpp"
#include "support/workspace.hpp"

namespace gramless {
namespace {

// Multiply-adds in either space. The cost of Gram space grows with the layers, that of feature space with the pairs of
// layers.
bool features_cost_less(std::span<const LayerInput> xs, std::span<const LayerInput> ys) {
  const double n = static_cast<double>(xs[0].x.rows);
  double width = 0, wide_pairs = 0;
  const auto add_self = [&](std::span<const LayerInput> layers) {
    for (const LayerInput& layer : layers) {
      const double d = static_cast<double>(layer.x.cols);
      width += d;
      wide_pairs += d * d / 2;
    }
  };
  add_self(xs);
  add_self(ys);
  const double selves = static_cast<double>(xs.size() + ys.size());
  double pairs = selves;
  for (std::size_t a = 0; a < xs.size(); a++)
    for (std::size_t b = ys.empty() ? a + 1 : 0; b < (ys.empty() ? xs : ys).size(); b++) {
      wide_pairs += static_cast<double>(xs[a].x.cols) * static_cast<double>((ys.empty() ? xs : ys)[b].x.cols);
      pairs++;
    }
  return n * wide_pairs < n * n / 2 * (width + pairs);
}

bool use_features(std::span<const LayerInput> xs, std::span<const LayerInput> ys, Space space) {
  for (const auto& layers : {xs, ys})
    for (const LayerInput& layer : layers) {
      bool over_features = false;
      visit_kernel(layer.kernel.formula, [&](const auto& kernel) { over_features = kernel.over_features; });
      if (!over_features) return false;
    }
  return space == Space::features || (space == Space::automatic && features_cost_less(xs, ys));
}

// One progress count for several walks, in proportion to their work; for one, if no work is given.
class Stages {
 public:
  Stages(const Monitor& outer, std::vector<double> work) : outer_(outer), work_(std::move(work)) {
    for (const double of_walk : work_) all_ += of_walk;
  }

  Monitor next() {
    begin_ = end_;
    if (passed_ < work_.size()) done_ += work_[passed_++];
    end_ = passed_ < work_.size() ? static_cast<std::int64_t>(steps * (done_ / all_)) : steps;
    return {outer_.report ? report : nullptr, this, outer_.clock};
  }

 private:
  static constexpr std::int64_t steps = 10000;
  static void report(void* self, std::int64_t done, std::int64_t total) {
    const Stages& stages = *static_cast<const Stages*>(self);
    stages.outer_.report(stages.outer_.context, stages.begin_ + (stages.end_ - stages.begin_) * done / total, steps);
  }

  const Monitor& outer_;
  const std::vector<double> work_;
  double all_ = 0, done_ = 0;
  std::size_t passed_ = 0;
  std::int64_t begin_ = 0, end_ = 0;
};

// In feature space the square of a row's length is summed with its products with others and subtracted at the end: if
// some rows are much longer than the others, this cancels the others' digits.
bool keeps_digits_over_features(const std::vector<Representation>& layers) {
  return std::all_of(layers.begin(), layers.end(), [](const Representation& layer) {
    return layer.on_mean() && !norms_beside_rows_apart(layer.norms(), layer.cols());
  });
}

bool wants_median(const LayerInput& layer) { return layer.kernel.wants_median(); }

std::int64_t bandwidths_wanted(std::span<const LayerInput> xs, std::span<const LayerInput> ys) {
  return std::count_if(xs.begin(), xs.end(), wants_median) + std::count_if(ys.begin(), ys.end(), wants_median);
}

// Memory for the dot products of layers whose median is computed, for as many layers as fit into the workspace: dot
// products that the median's pass leaves there need not be computed again.
class DotsRoom {
 public:
  DotsRoom(std::span<const LayerInput> xs, std::span<const LayerInput> ys, const OpTable& ops,
           const Execution& execution)
      : bytes_(ops.layer_dots_bytes(xs[0].x.rows, execution.compute)) {
    if (bytes_ == 0) return;
    const auto wanted = static_cast<std::size_t>(bandwidths_wanted(xs, ys));
    count_ = std::min(wanted, workspace_limit() / bytes_);
    try {
      memory_ = Workspace(count_ * bytes_);
    } catch (const std::bad_alloc&) {  // optional memory: works without
    }
    if (memory_.data() == nullptr) count_ = 0;
  }

  std::size_t count() const { return count_; }

  // The memory for one more layer, or null.
  void* next() { return taken_ < count_ ? memory_.data() + bytes_ * taken_++ : nullptr; }

 private:
  std::size_t bytes_, count_ = 0, taken_ = 0;
  Workspace memory_;
};

// The work of the medians' passes and of the walk after them, in multiply-adds for a pair of rows. `kept`: the number
// of layers whose dot products the walk reads instead of computing them.
std::vector<double> work_of(std::span<const LayerInput> xs, std::span<const LayerInput> ys, std::size_t kept) {
  constexpr double of_value = 16;  // a count, or an exponential
  const std::size_t pairs = ys.empty() ? xs.size() * (xs.size() + 1) / 2 : (xs.size() + 1) * (ys.size() + 1);
  double walk = 2 * static_cast<double>(pairs);
  std::vector<double> work;
  for (const auto& inputs : {xs, ys})
    for (const LayerInput& input : inputs) {
      const double products = static_cast<double>(input.x.cols);
      if (wants_median(input)) work.push_back(products + of_value);
      walk += of_value + (wants_median(input) && work.size() <= kept ? 0 : products);
    }
  work.push_back(walk);
  return work;
}

std::vector<Representation> prepare(std::span<const LayerInput> xs, std::span<const LayerInput> ys, const OpTable& ops,
                                    const Execution& execution, Stages& stages, DotsRoom* room = nullptr) {
  std::vector<Representation> layers;
  layers.reserve(xs.size() + ys.size());
  Execution staged = execution;
  for (const auto& inputs : {xs, ys})
    for (const LayerInput& input : inputs) {
      if (wants_median(input)) staged.monitor = stages.next();
      layers.push_back(resolved(input, ops, staged, room && wants_median(input) ? room->next() : nullptr));
    }
  const auto in_float32 = [](const Representation& layer) { return layer.in_float32(); };
  if (std::all_of(layers.begin(), layers.end(), in_float32)) return layers;
  for (std::size_t l = 0; l < layers.size(); l++) {  // tiles of all layers have one type
    if (!layers[l].in_float32()) continue;
    const LayerInput& input = l < xs.size() ? xs[l] : ys[l - xs.size()];
    layers[l] = in_float64(layers[l], input, ops, staged);
  }
  return layers;
}

// Makes layers ready for sums over features: in float64 about the mean of all rows, if some are so far away that
// float32 would lose digits. False if float64 would lose them too: then layers are unchanged, for sums over pairs of
// rows.
bool make_ready_over_features(std::vector<Representation>& layers, std::span<const LayerInput> xs,
                              std::span<const LayerInput> ys, Estimator estimator, const OpTable& ops,
                              Execution execution) {
  if (keeps_digits_over_features(layers)) return true;
  const auto has_digits = [&](const Representation& layer) { return has_digits_in_float64(layer, execution.compute); };
  if (is_of_distances(estimator) || !std::all_of(layers.begin(), layers.end(), has_digits)) return false;
  execution.compute = Compute::float64;
  for (std::size_t l = 0; l < layers.size(); l++) {
    const LayerInput& input = l < xs.size() ? xs[l] : ys[l - xs.size()];
    if (layers[l].in_float32()) layers[l] = in_float64(layers[l], input, ops, execution);
    layers[l].center_on_all_rows(execution);
  }
  return true;
}

std::vector<double> all_sums(const HsicProblem& problem, const Execution& execution) {
  std::vector<double> sums(problem.sums_length());
  problem.add_parts(0, problem.parts(), sums, execution);
  return sums;
}

// HSIC over features with one pass over the rows fewer: rows are measured while they are packed. nullopt if that is not
// enough for a layer (HsicProblem::measure_and_add).
std::optional<HsicValues> values_over_features(std::span<const LayerInput> xs, std::span<const LayerInput> ys,
                                               Estimator estimator, const OpTable& ops, const Execution& execution) {
  const Execution own = for_rows(xs[0].x.rows, execution);
  std::vector<Representation> layers;
  layers.reserve(xs.size() + ys.size());
  for (const auto& inputs : {xs, ys})
    for (const LayerInput& input : inputs) {
      if (loses_digits_of_products(input.x.rows, input.x.cols)) return std::nullopt;
      layers.emplace_back(input.x, ops, own, input.kernel.rows);
    }
  HsicProblem problem(std::move(layers), static_cast<std::int64_t>(xs.size()), estimator, true);
  std::vector<double> sums;
  if (!problem.measure_and_add(sums, own)) return std::nullopt;
  return problem.values(std::move(sums));
}

}  // namespace

std::vector<Representation> prepare(std::span<const LayerInput> xs, std::span<const LayerInput> ys, const OpTable& ops,
                                    const Execution& execution) {
  Stages stages(execution.monitor, {});
  return prepare(xs, ys, ops, execution, stages);
}

std::vector<Representation> prepare_summed(std::span<const LayerInput> xs, std::span<const LayerInput> ys,
                                           Estimator estimator, bool over_features, const OpTable& ops,
                                           const Execution& execution) {
  std::vector<Representation> layers = prepare(xs, ys, ops, execution);
  if (over_features) make_ready_over_features(layers, xs, ys, estimator, ops, execution);
  return layers;
}

HsicProblem hsic_problem(std::span<const LayerInput> xs, std::span<const LayerInput> ys, Estimator estimator,
                         Space space, const OpTable& ops, const Execution& execution) {
  std::vector<Representation> layers = prepare(xs, ys, ops, execution);
  const bool over_features =
      use_features(xs, ys, space) && make_ready_over_features(layers, xs, ys, estimator, ops, execution);
  return {std::move(layers), static_cast<std::int64_t>(xs.size()), estimator, over_features};
}

HsicValues hsic_values(std::span<const LayerInput> xs, std::span<const LayerInput> ys, Estimator estimator, Space space,
                       const OpTable& ops, const Execution& execution) {
  if (use_features(xs, ys, space))
    if (std::optional<HsicValues> found = values_over_features(xs, ys, estimator, ops, execution))
      return std::move(*found);
  DotsRoom room(xs, ys, ops, for_rows(xs[0].x.rows, execution));
  Stages stages(execution.monitor, work_of(xs, ys, room.count()));
  std::vector<Representation> layers = prepare(xs, ys, ops, execution, stages, &room);
  const bool over_features =
      use_features(xs, ys, space) && make_ready_over_features(layers, xs, ys, estimator, ops, execution);
  HsicProblem problem(std::move(layers), static_cast<std::int64_t>(xs.size()), estimator, over_features);
  Execution main = execution;
  main.monitor = stages.next();
  return problem.values(all_sums(problem, main));
}

std::vector<double> permuted_hsic(const LayerInput& x, const LayerInput& y, std::span<const std::int64_t> permutations,
                                  Estimator estimator, const OpTable& ops, const Execution& execution) {
  HsicProblem problem(prepare({&x, 1}, {&y, 1}, ops, execution), 1, estimator, false);
  problem.permute_y(permutations);
  return problem.values(all_sums(problem, execution)).xy;
}

}  // namespace gramless
