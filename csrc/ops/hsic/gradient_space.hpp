// Whether gradients of linear HSIC cost less over pairs of features or over pairs of rows.
#pragma once

#include <cmath>
#include <span>

#include "ops/hsic/representation.hpp"
#include "ops/hsic/row_lengths.hpp"

namespace gramless {

// Multiply-adds in either space, counting whole vectors of 64 bytes of float32 where features are a matrix's columns.
// coefficients (layers, layers): 0 where a layer adds nothing to another's gradient. gradients: null where none is
// wanted.
inline bool features_cost_less(std::span<const Representation> layers, std::span<void* const> gradients,
                               std::span<const double> coefficients) {
  constexpr double fixed = 50e3;  // what else feature space costs: 1.7 us measured, at 30 multiply-adds a nanosecond
  const double factor = layers[0].compute() == Compute::float32 ? 1.1 : 1.0;  // measured
  const auto n = static_cast<double>(layers[0].rows()), count = static_cast<double>(layers.size());
  double over_pairs = n * n / 2 * count * count, over_features = fixed, width = 0;
  for (std::size_t a = 0; a < layers.size(); a++) {
    const auto own = static_cast<double>(layers[a].cols()), in_vectors = std::ceil(own / 16) * 16;
    over_pairs += n * n / 2 * own * (gradients[a] == nullptr ? 1 : 3);
    width += in_vectors;
    for (std::size_t b = 0; b < layers.size(); b++)
      if (gradients[a] != nullptr && coefficients[a * layers.size() + b] != 0)
        over_features += n * static_cast<double>(layers[b].cols()) * in_vectors;
  }
  return factor * (over_features + n * width * width / 2) < over_pairs;
}

// Whether to compute gradients over features, for layers whose forward pass was over features.
inline bool are_over_features(std::span<const Representation> layers, std::span<void* const> gradients,
                              std::span<const double> coefficients, Estimator estimator) {
  constexpr std::int64_t most_features = 4096;  // whose covariances are kept: 128 MiB
  std::int64_t features = 0;
  for (const Representation& layer : layers) features += layer.cols();
  return features <= most_features &&
         (is_of_distances(estimator) || features_cost_less(layers, gradients, coefficients));
}

}  // namespace gramless
