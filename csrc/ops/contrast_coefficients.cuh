// What surrounds the tiles of the contrastive losses on the device: scales, losses of the anchors' sums, coefficients,
// and gradients back through the normalisation.
#pragma once

#include "ops/softmax_grad.cuh"
#include "reductions/anchor_loss.hpp"

namespace gramless::cuda {

// *scale: what rows are multiplied by when they are packed, that of the largest element given.
void choose_row_scale(const float* largest_anchor, std::int64_t anchors, const float* largest_key, std::int64_t keys,
                      bool split, double* scale, Queue& queue);

// losses (rows), of one side.
void measure_losses(const DeviceAnchorSums& sums, std::int64_t rows, const AnchorLoss& loss, double* losses,
                    Queue& queue);
void mean_of(const double* values, std::int64_t count, double* mean, Queue& queue);

// Weights (rows), or the same one for all: *common / rows. Null: zero.
struct AnchorWeights {
  const double *each, *common;
  std::int64_t rows;

  __device__ double of(std::int64_t i) const {
    if (common != nullptr) return *common / static_cast<double>(rows);
    return each != nullptr ? each[i] : 0;
  }
};

// *scale: a power of two that lifts the largest weight to where float16 derivatives have all their digits.
void choose_gradient_scale(const AnchorWeights& anchors, const AnchorWeights& keys, std::int64_t key_rows,
                           double* scale, Queue& queue);

template <class T>
void fill_coefficients(const DeviceAnchorSums& sums, std::int64_t rows, std::int64_t padded_rows,
                       const AnchorLoss& loss, const AnchorWeights& weights, const double* gradient_scale,
                       const DeviceCoefficients<T>& coefficients, Queue& queue);

// dx of one side's parts from dz, as sums over strips.
template <class Operand>
struct FinishGradTask {
  PackedRows<Operand> rows;
  std::int64_t first, count, width, padded_rows, strips;  // rows of one part
  const typename Operand::Value* partials;                // (strips, padded rows, stride)
  const double *row_scale, *gradient_scale;
  const double* inverse_norms;  // (rows); null: not normalised
  double scale;                 // of the logits
  void* grad;                   // (count, width) or null
  Dtype dtype;
  double* alignments;  // (rows): scale <dz, z>
};
template <class Operand>
void finish_gradients(const FinishGradTask<Operand>& task, Queue& queue);

// *gradient = factor * sum of values.
void sum_up(const double* values, std::int64_t count, double factor, double* sum, Queue& queue);

}  // namespace gramless::cuda
