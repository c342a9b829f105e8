// The steps around the tiles of the contrastive losses: normalised rows, products of single pairs, and gradients back
// through the normalisation.
#include <cmath>

#include "engine/instructions/to_doubles.hpp"
#include "engine/pack/pack.hpp"
#include "ops/contrast/side_rows.hpp"
#include "ops/dispatch/for_each_row.hpp"
#include "ops/dispatch/isa_ops.hpp"
#include "ops/dispatch/scratch.hpp"

namespace gramless {
inline namespace GRAMLESS_ISA {
namespace {

constexpr int piece = 256;
constexpr double least_norm = 1e-12;

// A dot product in float64, in four independent chains of vectors.
template <class T>
double dot(const T* a, const T* b, std::int64_t count) {
  constexpr int width = lanes<double>, chains = 4;
  using Wide = Vector<double>;
  using Narrow = Vector<T, width>;
  Wide sums[chains] = {};
  std::int64_t k = 0;
  for (; k + chains * width <= count; k += chains * width)
#pragma GCC unroll 4
    for (int c = 0; c < chains; c++)
      sums[c] += to_doubles(load<Narrow>(a + k + c * width)) * to_doubles(load<Narrow>(b + k + c * width));
  double sum = horizontal_sum<double>((sums[0] + sums[1]) + (sums[2] + sums[3]));
  for (; k < count; k++) sum += static_cast<double>(a[k]) * static_cast<double>(b[k]);
  return sum;
}

template <class T>
void scale_row(const UnitRowsTask& task, std::int64_t i) {
  T* const z = static_cast<T*>(task.z) + i * task.stride;
  T copy[1][piece];
  const T* values[1];
  for (std::int64_t first = 0; first < task.x.cols; first += piece) {
    const int count = static_cast<int>(std::min<std::int64_t>(piece, task.x.cols - first));
    detail::read_rows(task.x, i, 1, first, count, copy, values);
    std::memcpy(z + first, values[0], static_cast<std::size_t>(count) * sizeof(T));
  }
  std::fill(z + task.x.cols, z + task.stride, T(0));
  task.inverse_norms[i] = 1;
  if (!task.normalize) return;
  const double norm = std::sqrt(dot(z, z, task.x.cols));
  const double length = norm < least_norm ? least_norm : norm;
  const double inverse = 1 / length;
  task.inverse_norms[i] = inverse;
  // The product with the inverse rounds to the same float32 as the quotient; one column gives exactly +-1.
  for (std::int64_t k = 0; k < task.x.cols; k++)
    z[k] = static_cast<T>(sizeof(T) == 4 ? static_cast<double>(z[k]) * inverse : static_cast<double>(z[k]) / length);
}

template <class T>
void finish_row(const FinishGradTask& task, std::int64_t i) {
  const T* const z = static_cast<const T*>(task.z) + i * task.stride;
  T* const grad = static_cast<T*>(task.grad) + i * task.width;
  const double alignment = dot(grad, z, task.width);
  task.alignments[i] = task.scale * alignment;
  const double inverse = task.inverse_norms ? task.inverse_norms[i] : 1;
  // Below the least norm, x was divided by a constant.
  const bool tangential = task.inverse_norms && inverse < 1 / least_norm;
  for (std::int64_t k = 0; k < task.width; k++) {
    const double along = tangential ? alignment * static_cast<double>(z[k]) : 0;  // 0 times an infinite z[k] is NaN
    grad[k] = static_cast<T>((static_cast<double>(grad[k]) - along) * inverse * task.scale);
  }
}

template <class T>
struct SmallTile {
  T* values;
  PackedRows<T> packed;
};

// By tiles of a vector of rows and as many columns, of which the diagonal is read.
template <class T>
void multiply_rows(const RowProductsTask& task, const Execution& execution) {
  constexpr int size = lanes<T>;
  const AlignedBuffer no_center = zeros<T>(task.width);
  const CenteredRows<T> x = uncentered<T>(task.x, task.width, no_center),
                        y = uncentered<T>(task.y, task.width, no_center);
  const Blocks blocks{x.x.rows, size};
  const auto lay_out = [&](Layout& layout) {
    T* const values = layout.take<T>(tile_values<T>(size, size));
    T* const slivers =
        layout.take<T>(Product<T>::packed_values(size, std::min<std::int64_t>(task.width, TileShape<T>::depth)));
    return SmallTile<T>{values, {slivers, layout.take<T>(Product<T>::panel_values), false, -1}};
  };
  Layout scratch;
  lay_out(scratch);
  const WalkPlan plan{.tasks = blocks.count(),
                      .flops = 2.0 * size * static_cast<double>(blocks.n) * static_cast<double>(task.width),
                      .scratch_bytes = scratch.bytes(),
                      .threads = execution.threads,
                      .monitor = execution.monitor};
  walk(
      plan,
      [&](std::int64_t block, char* memory, char*, Worker&) {
        Layout layout(memory);
        auto [values, packed] = lay_out(layout);
        const std::int64_t first = blocks.begin(block);
        const int count = blocks.length(block);
        const Tile<T> tile{values, count, count, tile_stride<T>(count), false};
        dot_tile(x, first, y, first, 0, task.width, packed, tile, LeaveOwned());
        for (int i = 0; i < count; i++) static_cast<T*>(task.products)[first + i] = tile.row(i)[i];
      },
      [](std::int64_t, const char*) {});
}

}  // namespace

void row_products(const RowProductsTask& task, const Execution& execution) {
  if (execution.compute == Compute::float32)
    multiply_rows<float>(task, execution);
  else
    multiply_rows<double>(task, execution);
}

void unit_rows(const UnitRowsTask& task, const Execution& execution) {
  const double flops = 4.0 * static_cast<double>(task.x.rows) * static_cast<double>(task.x.cols);
  for_each_row(task.x.rows, flops, execution, [&](std::int64_t i) {
    if (execution.compute == Compute::float32)
      scale_row<float>(task, i);
    else
      scale_row<double>(task, i);
  });
}

void finish_grad(const FinishGradTask& task, const Execution& execution) {
  const double flops = 4.0 * static_cast<double>(task.rows) * static_cast<double>(task.width);
  for_each_row(task.rows, flops, execution, [&](std::int64_t i) {
    if (execution.compute == Compute::float32)
      finish_row<float>(task, i);
    else
      finish_row<double>(task, i);
  });
}

}  // namespace GRAMLESS_ISA
}  // namespace gramless
