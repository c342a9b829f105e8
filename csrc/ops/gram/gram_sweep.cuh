// sum_{i<j} of kernel values, their row sums and their products for all pairs of layers on the device.
#pragma once

#include <vector>

#include "engine/walk/tile_square.hpp"
#include "ops/api.hpp"
#include "ops/dispatch/launch_stream.cuh"
#include "ops/dispatch/layer.cuh"
#include "ops/dispatch/scratch.cuh"

namespace gramless::cuda {

// A subset of the layers: two runs of neighbouring layers.
struct LayerRuns {
  std::int64_t first = 0, count = 0, other = 0, other_count = 0;

  GRAMLESS_HD std::int64_t size() const { return count + other_count; }
  GRAMLESS_HD std::int64_t operator[](std::int64_t layer) const {
    return layer < count ? first + layer : other + layer - count;
  }
};

// Which layers are multiplied: [0, rows) with [first_col, first_col + cols). Symmetric: the same layers, right of the
// diagonal.
struct LayerBlock {
  std::int64_t rows, first_col, cols;
  bool symmetric;
};

// The results of a sweep on the device, which are then added up.
template <class Operand>
struct SweepSums {
  DeviceLayer<Operand>* layers;  // (layers)
  double* squares;               // (slots, layers)
  double* products;              // (strips, rows, cols) of the block
  std::int64_t slots, strips;
};

template <class Operand>
class GramSweep {
 public:
  using Value = typename Operand::Value;
  using Shape = SquareShape<Operand>;

  GramSweep(std::int64_t rows, const LayerRuns& runs, const LayerBlock& block, std::int64_t stored_bytes,
            DeviceLayout& layout);

  // row_sums (all layers, rows): those of the runs are filled.
  void run(const std::vector<DeviceLayer<Operand>>& layers, double* row_sums, LaunchStream& launches) const;

  const SweepSums<Operand>& sums() const { return sums_; }

 private:
  std::int64_t padded_layers() const;
  std::int64_t stored_values() const;  // of a slot
  void sum_square(const TileSquare& square, double* row_sums, LaunchStream& launches) const;

  std::int64_t rows_, blocks_;
  LayerRuns runs_;
  LayerBlock block_;
  int side_ = 1;
  SweepSums<Operand> sums_;
  Value* values_;     // (slots, padded layers, tile)
  Value* side_sums_;  // (slots, layers, rows and columns of a tile)
};

}  // namespace gramless::cuda
