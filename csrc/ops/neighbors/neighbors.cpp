#include "ops/neighbors/neighbors.hpp"

#include <algorithm>
#include <deque>

#include "engine/walk/walk.hpp"
#include "ops/neighbors/neighbor_layer.hpp"

namespace gramless {
namespace {

constexpr std::int64_t candidates_bytes = 64 << 20;  // of the layers in one walk, or of a single layer
constexpr std::int64_t least_share = 8;  // of rows to compare: with more of them tiles in float64 are faster

// One walk over the tiles of these layers.
void walk_layers(const std::vector<NeighborLayer*>& layers, const OpTable& ops, const Execution& execution) {
  std::vector<LayerView> views;
  std::vector<void*> similarities;
  std::vector<std::int32_t*> rows;
  for (NeighborLayer* layer : layers) {
    views.push_back(layer->prepare(execution));
    similarities.push_back(layer->similarities());
    rows.push_back(layer->candidates());
  }
  const auto count = static_cast<std::int64_t>(layers.size());
  ops.nearest_rows({views.data(), count, layers[0]->kept(), similarities.data(), rows.data()}, execution);
  for (NeighborLayer* layer : layers) layer->choose(execution);
}

void find_neighbors(const std::vector<NeighborLayer*>& layers, std::int64_t n, const OpTable& ops,
                    Execution execution) {
  execution.compute = Compute::float32;
  walk_layers(layers, ops, execution);
  std::vector<NeighborLayer*> many;
  for (NeighborLayer* layer : layers)
    if (layer->left() * least_share > n) many.push_back(layer);
  execution.compute = Compute::float64;
  if (!many.empty()) walk_layers(many, ops, execution);
  for (NeighborLayer* layer : layers)
    if (layer->left() > 0) layer->scan(execution);
}

}  // namespace

std::vector<Neighbors> nearest_neighbors(std::span<const ArrayView> layers, std::int64_t k, bool with_cosines,
                                         const OpTable& ops, const Execution& execution) {
  std::vector<Neighbors> found(layers.size());
  for (std::size_t next = 0; next < layers.size();) {
    std::deque<NeighborLayer> group;
    std::vector<NeighborLayer*> finite;
    const std::size_t first = next;
    std::int64_t bytes = 0;
    do {
      NeighborLayer& layer = group.emplace_back(layers[next++], k, ops, execution);
      if (layer.finite()) finite.push_back(&layer);
      bytes += layers[0].rows * layer.kept() * 12;
    } while (next < layers.size() && bytes < candidates_bytes);
    if (!finite.empty()) find_neighbors(finite, layers[0].rows, ops, execution);
    for (std::size_t l = first; l < next; l++) {
      NeighborLayer& layer = group[l - first];
      if (!layer.finite()) continue;
      if (with_cosines) found[l].cosines = layer.cosines(execution);
      found[l].rows = layer.take_nearest();
    }
  }
  return found;
}

std::vector<std::int64_t> shared_neighbors(std::span<const std::int32_t* const> xs,
                                           std::span<const std::int32_t* const> ys, std::int64_t n, std::int64_t k,
                                           const Execution& execution) {
  std::vector<std::int64_t> shared(xs.size() * ys.size());
  const WalkPlan plan{.tasks = static_cast<std::int64_t>(shared.size()),
                      .flops = 4.0 * static_cast<double>(shared.size()) * static_cast<double>(n * k),
                      .threads = execution.threads,
                      .monitor = execution.monitor};
  walk(
      plan,
      [&](std::int64_t pair, char*, char*, Worker& worker) {
        const std::int32_t *x = xs[static_cast<std::size_t>(pair) / ys.size()],
                           *y = ys[static_cast<std::size_t>(pair) % ys.size()];
        std::int64_t count = 0;
        for (std::int64_t i = 0; i < n && !worker.stopped(); i++, x += k, y += k)
          for (std::int64_t a = 0, b = 0; a < k && b < k;) {
            const std::int32_t of_x = x[a], of_y = y[b];
            count += of_x == of_y;
            a += of_x <= of_y;
            b += of_y <= of_x;
          }
        shared[static_cast<std::size_t>(pair)] = count;
      },
      [](std::int64_t, const char*) {});
  return shared;
}

}  // namespace gramless
