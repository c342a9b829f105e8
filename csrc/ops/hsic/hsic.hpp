// HSIC of every representation in xs with every one in ys, from one walk over tiles.
#pragma once

#include <span>
#include <vector>

#include "ops/hsic/representation.hpp"

namespace gramless {

// Where a linear HSIC is summed: over pairs of rows, over pairs of features, or wherever it costs less.
enum class Space { automatic, gram, features };

struct LayerInput {
  ArrayView x;
  KernelSpec kernel;
};

// In the layers' units: HSIC is the stored value times 2^(exponents of both layers), a mean is the stored one times
// 2^exponent.
struct HsicValues {
  std::vector<double> xy;                      // (xs, ys), or (xs, xs) where ys is empty
  std::vector<double> xx, yy;                  // each with itself
  std::vector<double> mean_x, mean_y;          // mean of k(x_i, x_j) over i != j
  std::vector<double> diagonal_x, diagonal_y;  // mean of k(x_i, x_i)
  std::vector<double> row_sums;                // (xs + ys, n), for the gradients; none where summed over features
  std::vector<double> tied;                    // (xs + ys): Representation::tied
  std::vector<double> sigmas;                  // (xs + ys): bandwidths, where the kernel has one
  std::vector<int> exponents;                  // (xs + ys)
};

HsicValues hsic_values(std::span<const LayerInput> xs, std::span<const LayerInput> ys, Estimator estimator, Space space,
                       const OpTable& ops, const Execution& execution);

// Derivatives of a loss with respect to the values that hsic_values returned, in the same units.
struct HsicWeights {
  std::span<const double> xy, xx, yy;
};

// The gradients with respect to every layer of xs, then of ys, in the compute type; null where none is wanted.
// Bandwidths must be given as sigma, `row_sums` are those of the forward pass.
void hsic_gradients(std::span<const LayerInput> xs, std::span<const LayerInput> ys, Estimator estimator,
                    std::span<const double> row_sums, const HsicWeights& weights, std::span<void* const> gradients,
                    const OpTable& ops, const Execution& execution);

// HSIC of x with the rows of y in other orders, in the layers' units; permutations (count, n).
std::vector<double> permuted_hsic(const LayerInput& x, const LayerInput& y, std::span<const std::int64_t> permutations,
                                  Estimator estimator, const OpTable& ops, const Execution& execution);

}  // namespace gramless
