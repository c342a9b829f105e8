// The steps before and after the tiles of the contrastive losses on the device: scales, losses from the anchors' sums,
// coefficients, and gradients back through the normalisation.
#pragma once

#include "ops/contrast/softmax_grad.cuh"
#include "reductions/anchor_loss.hpp"

namespace gramless::cuda {

// The data from which the scales of logits are chosen.
struct ScaleTask {
  const float *largest_anchor, *largest_key;  // elements of each row; without them rows are of length 1
  std::int64_t anchors, keys;
  bool split;  // whether the rows are scaled
  double temperature;
  const double* device_temperature;  // (1), read instead where given
  bool unit_rows;
  double log_pairs;  // logarithm of the largest number of pairs of an anchor
  double highest;    // largest exponent that the tiles' type allows
};
void choose_scales(const ScaleTask& task, LogitScales* scales, LaunchStream& launches);

// losses (rows), of one side.
void measure_losses(const DeviceAnchorSums& sums, std::int64_t rows, const AnchorLoss& loss, double* losses,
                    LaunchStream& launches);
void mean_of(const double* values, std::int64_t count, double* mean, LaunchStream& launches);

// Weights (rows), or the same one for all: *common / rows. Null: zero.
struct AnchorWeights {
  const double *each, *common;
  std::int64_t rows;

  __device__ double of(std::int64_t i) const {
    if (common != nullptr) return *common / static_cast<double>(rows);
    return each != nullptr ? each[i] : 0;
  }
};

// *scale: a power of two that makes the largest weight so large that float16 derivatives have all their digits.
void choose_gradient_scale(const AnchorWeights& anchors, const AnchorWeights& keys, std::int64_t key_rows,
                           double* scale, LaunchStream& launches);

template <class T>
void fill_coefficients(const DeviceAnchorSums& sums, std::int64_t rows, std::int64_t padded_rows,
                       const AnchorLoss& loss, const AnchorWeights& weights, const double* limits,
                       const double* gradient_scale, const DeviceCoefficients<T>& coefficients, LaunchStream& launches);

// dx of one side's parts from dz, which is given as sums over strips.
template <class Operand>
struct FinishGradTask {
  PackedRows<Operand> rows;
  std::int64_t first, count, width, padded_rows, strips;  // rows of one part
  const typename Operand::Value* partials;                // (strips, padded rows, stride)
  const LogitScales* scales;
  const double* gradient_scale;
  const double* inverse_norms;  // (rows); null: not normalised
  void* grad;                   // (count, width) or null
  Dtype dtype;
  double* alignments;  // (rows): scales->logit <dz, z>
};
template <class Operand>
void finish_gradients(const FinishGradTask<Operand>& task, LaunchStream& launches);

// *gradient = factor * sum of alignments / temperature.
void grad_of_temperature(const double* alignments, std::int64_t count, double factor, const LogitScales* scales,
                         double* gradient, LaunchStream& launches);

}  // namespace gramless::cuda
