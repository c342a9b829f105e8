// What surrounds the tiles of the contrastive losses: rows to the unit sphere, and gradients back through that.
#include <cmath>

#include "engine/pack.hpp"
#include "ops/for_each_row.hpp"
#include "ops/isa_ops.hpp"

namespace gramless {
inline namespace GRAMLESS_ISA {
namespace {

constexpr int piece = 256;
constexpr double least_norm = 1e-12;

template <class T>
void scale_row(const UnitRowsTask& task, std::int64_t i) {
  T* const z = static_cast<T*>(task.z) + i * task.stride;
  T copy[1][piece];
  const T* values[1];
  double norm2[4] = {};
  for (std::int64_t first = 0; first < task.x.cols; first += piece) {
    const int count = static_cast<int>(std::min<std::int64_t>(piece, task.x.cols - first));
    detail::read_rows(task.x, i, 1, first, count, copy, values);
    std::memcpy(z + first, values[0], static_cast<std::size_t>(count) * sizeof(T));
  }
  std::fill(z + task.x.cols, z + task.stride, T(0));
  task.inverse_norms[i] = 1;
  if (!task.normalize) return;
  for (std::int64_t k = 0; k < task.stride; k += 4)
    for (int u = 0; u < 4; u++) norm2[u] += static_cast<double>(z[k + u]) * static_cast<double>(z[k + u]);
  const double norm = std::sqrt((norm2[0] + norm2[1]) + (norm2[2] + norm2[3]));
  const double length = norm < least_norm ? least_norm : norm;
  task.inverse_norms[i] = 1 / length;
  for (std::int64_t k = 0; k < task.x.cols; k++)
    z[k] = static_cast<T>(static_cast<double>(z[k]) / length);  // +-1 for one column
}

template <class T>
void finish_row(const FinishGradTask& task, std::int64_t i) {
  const T* const z = static_cast<const T*>(task.z) + i * task.stride;
  T* const grad = static_cast<T*>(task.grad) + i * task.width;
  double alignment = 0;
  for (std::int64_t k = 0; k < task.width; k++) alignment += static_cast<double>(grad[k]) * static_cast<double>(z[k]);
  task.alignments[i] = task.scale * alignment;
  const double inverse = task.inverse_norms ? task.inverse_norms[i] : 1;
  // Below the least norm, x was divided by a constant.
  const double along = task.inverse_norms && inverse < 1 / least_norm ? alignment : 0;
  for (std::int64_t k = 0; k < task.width; k++)
    grad[k] = static_cast<T>((static_cast<double>(grad[k]) - along * static_cast<double>(z[k])) * inverse * task.scale);
}

}  // namespace

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
