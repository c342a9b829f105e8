// Linear HSIC in feature space: the engine with roles exchanged. Rows are features, the depth is the samples, and a
// tile of dot products is a block of X' Y; the reduction is its sum of squares.
#include "engine/walk.hpp"
#include "ops/isa_ops.hpp"
#include "ops/scratch.hpp"
#include "support/aligned_buffer.hpp"

namespace gramless {
inline namespace GRAMLESS_ISA {
namespace {

struct FeatureBlock {
  std::int64_t layer, first;
  int length;
};

// One tile: the features of `a` against those of `b`.
struct BlockPair {
  FeatureBlock a, b;
};

// Which tiles there are, found by counting: a list would be library code compiled for this ISA.
class BlockPairs {
 public:
  BlockPairs(const CovarianceSumsTask& task, int size) : task_(task), size_(size) {
    const std::int64_t layers = task.layers_x + task.layers_y;
    for (std::int64_t a = 0; a < layers; a++)
      for (std::int64_t b = a; b < layers; b++) count_ += pairs_of(a, b);
  }

  std::int64_t count() const { return count_; }

  BlockPair operator[](std::int64_t pair) const {
    std::int64_t a = 0, b = 0;
    const std::int64_t layers = task_.layers_x + task_.layers_y;
    while (pair >= pairs_of(a, b)) {
      pair -= pairs_of(a, b);
      if (++b == layers) b = ++a;
    }
    TilePosition at;
    if (a == b)
      at = UpperTriangle{blocks(a).count()}[pair];
    else
      at = {pair / blocks(b).count(), pair % blocks(b).count()};
    return {{a, blocks(a).begin(at.i), blocks(a).length(at.i)}, {b, blocks(b).begin(at.j), blocks(b).length(at.j)}};
  }

 private:
  Blocks blocks(std::int64_t layer) const { return {task_.layers[layer].x.cols, size_}; }

  std::int64_t pairs_of(std::int64_t a, std::int64_t b) const {
    const bool wanted = a == b || task_.layers_y == 0 || (a < task_.layers_x && b >= task_.layers_x);
    if (!wanted) return 0;
    return a == b ? UpperTriangle{blocks(a).count()}.count() : blocks(a).count() * blocks(b).count();
  }

  const CovarianceSumsTask& task_;
  int size_;
  std::int64_t count_ = 0;
};

template <class T>
class CovarianceWalk {
 public:
  CovarianceWalk(const CovarianceSumsTask& task, const Execution& execution)
      : task_(task),
        execution_(execution),
        pairs_(task, TileShape<T>::rows),
        samples_(task.layers[0].x.rows),
        segments_{samples_, segment_samples()} {
    for (std::int64_t l = 0; l < task.layers_x + task.layers_y; l++)
      tile_rows_ = std::max(tile_rows_, std::min<std::int64_t>(task.layers[l].x.cols, TileShape<T>::rows));
  }

  void run() {
    Layout scratch;
    lay_out(scratch);
    const std::size_t tile_bytes = static_cast<std::size_t>(tile_rows_ * tile_rows_) * sizeof(double);
    const double tile = static_cast<double>(tile_rows_) * static_cast<double>(tile_rows_);
    const WalkPlan plan{.tasks = pairs_.count() * segments_.count(),
                        .flops = 2 * tile * static_cast<double>(pairs_.count()) * static_cast<double>(samples_),
                        .scratch_bytes = scratch.bytes(),
                        .partial_bytes = tile_bytes,
                        .threads = execution_.threads,
                        .monitor = execution_.monitor};
    sums_ = AlignedBuffer(tile_bytes);
    walk(
        plan,
        [&](std::int64_t task, char* memory, char* answer, Worker& worker) {
          compute(task, memory, reinterpret_cast<double*>(answer), worker);
        },
        [&](std::int64_t task, const char* answer) { merge(task, reinterpret_cast<const double*>(answer)); });
  }

 private:
  static constexpr int flush_samples = 16 * TileShape<T>::depth;  // float32 up to here, float64 from here on

  struct Thread {
    T *values, *slivers, *panel;
  };

  // Long sample ranges are cut so that few features still give every thread a task. It must not depend on the threads.
  int segment_samples() const {
    constexpr std::int64_t wanted_tasks = 64;
    const std::int64_t segments = (wanted_tasks + pairs_.count() - 1) / pairs_.count();
    return static_cast<int>(round_up((task_.layers[0].x.rows + segments - 1) / segments, flush_samples));
  }

  Thread lay_out(Layout& layout) const {
    Thread thread;
    thread.values = layout.take<T>(tile_values<T>(tile_rows_, tile_rows_));
    thread.slivers = layout.take<T>(round_up(tile_rows_, TileShape<T>::micro_rows) * TileShape<T>::depth);
    thread.panel = layout.take<T>(PackedRows<T>::panel_values);
    return thread;
  }

  // The transpose of a layer: its features are rows, centred row by row.
  CenteredRows<T> features(std::int64_t layer) const {
    const LayerView& view = task_.layers[layer];
    ArrayView x = view.x;
    std::swap(x.rows, x.cols);
    std::swap(x.row_stride, x.col_stride);
    return {x, static_cast<const T*>(view.center_high), static_cast<const T*>(view.center_low), true};
  }

  void compute(std::int64_t task, char* memory, double* sums, Worker& worker) const {
    Layout layout(memory);
    const Thread thread = lay_out(layout);
    const BlockPair pair = pairs_[task / segments_.count()];
    const std::int64_t segment = task % segments_.count();
    const std::int64_t end = segments_.begin(segment) + segments_.length(segment);
    const Tile<T> tile{thread.values, pair.a.length, pair.b.length, tile_stride<T>(pair.b.length),
                       pair.a.layer == pair.b.layer && pair.a.first == pair.b.first};
    PackedRows<T> packed{thread.slivers, thread.panel, false, -1};
    std::fill_n(sums, std::int64_t{tile.rows} * tile.cols, 0.0);
    for (std::int64_t first = segments_.begin(segment); first < end; first += flush_samples) {
      if (worker.stopped()) return;
      dot_tile(features(pair.a.layer), pair.a.first, features(pair.b.layer), pair.b.first, first,
               std::min<std::int64_t>(first + flush_samples, end), packed, tile);
      for (int i = 0; i < tile.rows; i++)
        for (int j = tile.diagonal ? i : 0; j < tile.cols; j++)
          sums[i * tile.cols + j] += static_cast<double>(tile.row(i)[j]);
    }
  }

  void merge(std::int64_t task, const double* partial) {
    const BlockPair pair = pairs_[task / segments_.count()];
    const std::int64_t segment = task % segments_.count();
    double* sums = reinterpret_cast<double*>(sums_.data());
    const std::int64_t entries = std::int64_t{pair.a.length} * pair.b.length;
    if (segment == 0) std::fill_n(sums, entries, 0.0);
    for (std::int64_t e = 0; e < entries; e++) sums[e] += partial[e];
    if (segment + 1 == segments_.count()) add_squares(pair, sums);
  }

  void add_squares(const BlockPair& pair, const double* sums) {
    const bool same_layer = pair.a.layer == pair.b.layer, diagonal = same_layer && pair.a.first == pair.b.first;
    double squares = 0, diagonal_squares = 0;
    for (int i = 0; i < pair.a.length; i++) {
      const double* row = sums + static_cast<std::ptrdiff_t>(i) * pair.b.length;
      double row_squares = 0;
      for (int j = diagonal ? i + 1 : 0; j < pair.b.length; j++) row_squares += row[j] * row[j];
      if (diagonal) diagonal_squares += row[i] * row[i];
      squares += row_squares;
    }
    const double sum = same_layer ? 2 * squares + diagonal_squares : squares;
    const std::int64_t columns = task_.layers_y ? task_.layers_y : task_.layers_x;
    if (same_layer) task_.self_products[pair.a.layer] += sum;
    if (task_.layers_y == 0)
      task_.products[pair.a.layer * columns + pair.b.layer] += sum;
    else if (!same_layer)
      task_.products[pair.a.layer * columns + pair.b.layer - task_.layers_x] += sum;
  }

  const CovarianceSumsTask& task_;
  const Execution& execution_;
  const BlockPairs pairs_;
  const std::int64_t samples_;
  const Blocks segments_;
  std::int64_t tile_rows_ = 0;
  AlignedBuffer sums_;
};

}  // namespace

void covariance_sums(const CovarianceSumsTask& task, const Execution& execution) {
  if (execution.compute == Compute::float32)
    CovarianceWalk<float>(task, execution).run();
  else
    CovarianceWalk<double>(task, execution).run();
}

}  // namespace GRAMLESS_ISA
}  // namespace gramless
