// HSIC of all pairs of layers on the device: which layers are swept together, then the algebra. A pass prepares some
// layers, sweeps them and writes the values of their pairs.
#include <algorithm>

#include "engine/instructions/block_sums.cuh"
#include "ops/dispatch/check_matrix.hpp"
#include "ops/dispatch/visit_operand.cuh"
#include "ops/gram/gram_sweep.cuh"
#include "ops/hsic/hsic_algebra.cuh"
#include "ops/hsic/row_limits.cuh"
#include "ops/median/median.cuh"

namespace gramless::cuda {
namespace {

constexpr int finish_threads = 256, finish_warps = finish_threads / warp_lanes;

template <class Operand>
struct FinishTask {
  SweepSums<Operand> sums;
  LayerRuns runs;
  LayerBlock block;
  std::int64_t n, first_col, stride;  // column 0 of the values is layer first_col of all
  bool biased;
  double* row_sums;    // (all layers, n); biased, they get the diagonal
  double* totals;      // (all layers)
  double* own_values;  // (all layers)
  double* values;
};

// A block finishes layer x: its totals and its HSIC with itself.
template <class Operand>
__global__ void __launch_bounds__(finish_threads) finish_layers(FinishTask<Operand> task) {
  const std::int64_t local = blockIdx.x, all = task.runs[local], n = task.n;
  const DeviceLayer<Operand>& layer = task.sums.layers[local];
  double* const row_sums = task.row_sums + all * n;
  double sums[4] = {};  // of row sums, their squares, squares of the diagonal, products
  for (std::int64_t i = threadIdx.x; i < n; i += finish_threads) {
    const double d = task.biased ? diagonal(layer, i) : 0, r = row_sums[i] += d;
    sums[0] += r;
    sums[1] += r * r;
    sums[2] += d * d;
  }
  for (std::int64_t slot = threadIdx.x; slot < task.sums.slots; slot += finish_threads)
    sums[3] += task.sums.squares[slot * task.runs.size() + local];
  sum_over_block(sums, shared_memory<double>());
  if (threadIdx.x != 0) return;
  const auto& kernel = *layer.kernel;
  const double count = static_cast<double>(n), products = 2 * sums[3] + sums[2];  // tiles have only i < j
  const double value = kernel.unit * kernel.unit * hsic_of({products, sums[1], sums[0], sums[0]}, count, task.biased);
  task.totals[all] = sums[0];
  task.own_values[all] = unless_rounding(value, sums[3], sums[0], kernel, count);
  if (task.block.symmetric) task.values[all * task.stride + all] = value;
}

// A block finishes one pair of layers.
template <class Operand>
__global__ void __launch_bounds__(finish_threads) finish_pairs(FinishTask<Operand> task) {
  const std::int64_t row = blockIdx.x, col = blockIdx.y, n = task.n;
  if (task.block.symmetric && col <= row) return;
  const std::int64_t a = task.runs[row], b = task.runs[task.block.first_col + col];
  const DeviceLayer<Operand>&x = task.sums.layers[row], &y = task.sums.layers[task.block.first_col + col];
  double sums[3] = {};  // of products, products of row sums, products of the diagonals
  for (std::int64_t strip = threadIdx.x; strip < task.sums.strips; strip += finish_threads)
    sums[0] += task.sums.products[(strip * task.block.rows + row) * task.block.cols + col];
  for (std::int64_t i = threadIdx.x; i < n; i += finish_threads) {
    sums[1] += task.row_sums[a * n + i] * task.row_sums[b * n + i];
    if (task.biased) sums[2] += diagonal(x, i) * diagonal(y, i);
  }
  sum_over_block(sums, shared_memory<double>());
  if (threadIdx.x != 0) return;
  const double value =
      x.kernel->unit * y.kernel->unit *
      hsic_of({2 * sums[0] + sums[2], sums[1], task.totals[a], task.totals[b]}, static_cast<double>(n), task.biased);
  task.values[a * task.stride + b - task.first_col] = value;
  if (task.block.symmetric) task.values[b * task.stride + a] = value;
}

// The memory for the results of all passes.
struct Results {
  double *row_sums, *totals, *squared_sigmas;
};

template <class Operand>
class HsicMatrixPass {
 public:
  HsicMatrixPass(const HsicMatrixTask& task, const LayerRuns& runs, DeviceLayout layout)
      : task_(task),
        runs_(runs),
        block_(layer_block(task, runs)),
        layout_(layout),
        median_(task.layers->rows, layout_) {
    for (std::int64_t layer = 0; layer < runs.size(); layer++) layers_.emplace_back(task.layers[runs[layer]], layout_);
    sweep_.emplace_back(task.layers->rows, runs, block_, task.stored_bytes, layout_);
  }

  std::size_t bytes() const { return layout_.bytes(); }

  void run(const Results& results, LaunchStream& launches) const {
    std::vector<DeviceLayer<Operand>> layers;
    std::vector<ResolveTask<Operand>> kernels;
    for (std::int64_t local = 0; local < runs_.size(); local++) {
      const DeviceRepresentation<Operand>& layer = layers_[static_cast<std::size_t>(local)];
      kernels.push_back(prepare(layer, runs_[local], results.squared_sigmas, launches));
      layers.push_back(layer.layer());
    }
    resolve_layers(kernels, task_.layers->rows, launches);
    const GramSweep<Operand>& sweep = sweep_.front();
    sweep.run(layers, results.row_sums, launches);
    const bool alone = task_.layers_y == 0;
    const FinishTask<Operand> finish{sweep.sums(),
                                     runs_,
                                     block_,
                                     task_.layers->rows,
                                     alone ? 0 : task_.layers_x,
                                     alone ? task_.layers_x : task_.layers_y,
                                     task_.estimator == Estimator::biased,
                                     results.row_sums,
                                     results.totals,
                                     task_.own_values,
                                     task_.values};
    launches.launch(finish_layers<Operand>, {static_cast<unsigned>(runs_.size())}, finish_threads,
                    4 * finish_warps * sizeof(double), finish);
    launches.launch(finish_pairs<Operand>, {static_cast<unsigned>(block_.rows), static_cast<unsigned>(block_.cols)},
                    finish_threads, 3 * finish_warps * sizeof(double), finish);
  }

 private:
  static LayerBlock layer_block(const HsicMatrixTask& task, const LayerRuns& runs) {
    if (task.layers_y == 0) return {runs.size(), 0, runs.size(), true};
    return {runs.count, runs.count, runs.other_count, false};
  }

  // Prepares all of a layer but its kernel.
  ResolveTask<Operand> prepare(const DeviceRepresentation<Operand>& layer, std::int64_t number, double* squared_sigmas,
                               LaunchStream& launches) const {
    const KernelSpec& kernel = number < task_.layers_x ? task_.kernel_x : task_.kernel_y;
    layer.pack(launches);
    double* const squared_sigma = squared_sigmas + number;
    if (kernel.wants_median()) median_.run(layer.layer(), kernel.include_diagonal, squared_sigma, launches);
    return layer.resolving(kernel, squared_sigma, task_.bandwidths ? task_.bandwidths + number : nullptr);
  }

  const HsicMatrixTask& task_;
  LayerRuns runs_;
  LayerBlock block_;
  DeviceLayout layout_;
  DeviceMedian<Operand> median_;
  std::vector<DeviceRepresentation<Operand>> layers_;
  std::vector<GramSweep<Operand>> sweep_;  // one
};

struct Run {
  std::int64_t first, count;
};

// Cuts layers into runs whose packed rows take at most half of the allowed memory, so that a pass over two runs fits.
// Every pair of layers is in one pass.
template <class Operand>
std::vector<Run> layer_runs(const HsicMatrixTask& task, std::int64_t first, std::int64_t end) {
  std::vector<Run> runs;
  std::size_t bytes = 0;
  for (std::int64_t layer = first; layer < end; layer++) {
    DeviceLayout layout;
    const DeviceRepresentation<Operand> packed(task.layers[layer], layout);
    bytes += layout.bytes();
    if (runs.empty() || bytes > static_cast<std::size_t>(task.packed_bytes / 2)) {
      runs.push_back({layer, 0});
      bytes = layout.bytes();
    }
    runs.back().count++;
  }
  return runs;
}

template <class Operand>
std::vector<LayerRuns> layer_passes(const HsicMatrixTask& task) {
  const std::vector<Run> x = layer_runs<Operand>(task, 0, task.layers_x);
  std::vector<LayerRuns> passes;
  const auto add = [&](const Run& a, const Run& b) { passes.push_back({a.first, a.count, b.first, b.count}); };
  if (task.layers_y > 0) {
    for (const Run& a : x)
      for (const Run& b : layer_runs<Operand>(task, task.layers_x, task.layers_x + task.layers_y)) add(a, b);
  } else if (x.size() == 1) {
    add(x[0], {0, 0});
  } else {
    for (std::size_t a = 0; a < x.size(); a++)
      for (std::size_t b = a + 1; b < x.size(); b++) add(x[a], x[b]);
  }
  return passes;
}

template <class Operand>
class HsicMatrix {
 public:
  explicit HsicMatrix(const HsicMatrixTask& task, void* scratch = nullptr)
      : task_(task), scratch_(static_cast<char*>(scratch)), passes_(layer_passes<Operand>(task)) {
    const std::int64_t layers = task.layers_x + task.layers_y;
    DeviceLayout layout(scratch);
    results_.row_sums = task.row_sums ? task.row_sums : layout.take<double>(layers * task.layers->rows);
    results_.totals = layout.take<double>(layers);
    results_.squared_sigmas = layout.take<double>(layers);
    common_bytes_ = layout.bytes();
  }

  std::size_t bytes() const {
    std::size_t largest = 0;
    for (const LayerRuns& runs : passes_)
      largest = std::max(largest, HsicMatrixPass<Operand>(task_, runs, DeviceLayout()).bytes());
    return common_bytes_ + largest;
  }

  const char* run(void* stream) const {
    LaunchStream launches(stream);
    for (const LayerRuns& runs : passes_)
      HsicMatrixPass<Operand>(task_, runs, DeviceLayout(scratch_ + common_bytes_)).run(results_, launches);
    return launches.error();
  }

 private:
  const HsicMatrixTask& task_;
  char* scratch_;
  std::vector<LayerRuns> passes_;
  Results results_;
  std::size_t common_bytes_;
};

const char* error_in_hsic_matrix(const HsicMatrixTask& task) {
  if (task.layers_x < 1 || task.layers_y < 0) return "hsic_matrix: there are no layers";
  if (task.layers_x + task.layers_y > 65535) return "hsic_matrix: there are more than 65535 layers";
  for (std::int64_t layer = 0; layer < task.layers_x + task.layers_y; layer++) {
    if (const char* error = error_in_matrix(task.layers[layer], task.operand)) return error;
    if (task.layers[layer].rows != task.layers->rows) return "hsic_matrix: layers differ in rows";
  }
  const bool medians = task.kernel_x.wants_median() || (task.layers_y > 0 && task.kernel_y.wants_median());
  if (const char* error =
          medians ? too_many_for_rounds(task.layers->rows, task.operand) : too_many_to_prepare(task.layers->rows))
    return error;
  if (task.layers->rows < (task.estimator == Estimator::biased ? 2 : 4))
    return "hsic_matrix: too few rows for the estimator";
  return nullptr;
}

}  // namespace

std::size_t hsic_matrix_scratch_bytes(const HsicMatrixTask& task) {
  if (error_in_hsic_matrix(task) != nullptr) return 0;
  return visit_operand(task.operand, [&]<class Operand>() { return HsicMatrix<Operand>(task).bytes(); });
}

const char* hsic_matrix(const HsicMatrixTask& task, void* scratch, void* stream) {
  if (const char* error = error_in_hsic_matrix(task)) return error;
  return visit_operand(task.operand, [&]<class Operand>() { return HsicMatrix<Operand>(task, scratch).run(stream); });
}

}  // namespace gramless::cuda
