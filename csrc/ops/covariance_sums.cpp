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

  bool operator==(const FeatureBlock&) const = default;
};

// One tile: the features of `a` against those of `b`.
struct BlockPair {
  FeatureBlock a, b;
  std::int64_t run, run_begin, run_end;  // the pairs it is visited with: neighbours with the same a
};

// All tiles, by their rows, so that packed rows serve many tiles.
class BlockPairs {
 public:
  BlockPairs(const CovarianceSumsTask& task, int most, int panel) : task_(task), most_(most), panel_(panel) {
    visit([&](const FeatureBlock&, const FeatureBlock&) { count_++; });
    pairs_ = AlignedBuffer(static_cast<std::size_t>(count_) * sizeof(BlockPair));
    std::int64_t next = 0;
    visit([&](const FeatureBlock& a, const FeatureBlock& b) { at(next++) = {a, b, 0, 0, 0}; });
    for (std::int64_t begin = 0, end; begin < count_; begin = end) {
      for (end = begin; end < count_ && end - begin < longest_run && at(end).a == at(begin).a;) end++;
      for (std::int64_t pair = begin; pair < end; pair++) {
        at(pair).run = runs_;
        at(pair).run_begin = begin;
        at(pair).run_end = end;
      }
      runs_++;
    }
  }

  std::int64_t count() const { return count_; }
  std::int64_t runs() const { return runs_; }
  std::int64_t first_of_run(std::int64_t run) const {
    std::int64_t pair = 0;
    while (pair < count_ && at(pair).run < run) pair = at(pair).run_end;
    return pair;
  }
  const BlockPair& operator[](std::int64_t pair) const { return at(pair); }

  static constexpr std::int64_t longest_run = 16;

 private:
  BlockPair& at(std::int64_t pair) const { return reinterpret_cast<BlockPair*>(pairs_.data())[pair]; }
  // As few as can be, of equal size, in whole panels.
  Blocks blocks(std::int64_t layer) const {
    const std::int64_t features = task_.layers[layer].x.cols, count = (features + most_ - 1) / most_;
    return {features, static_cast<int>(round_up((features + count - 1) / count, panel_))};
  }

  bool wanted(std::int64_t a, std::int64_t b) const {
    return a == b || task_.layers_y == 0 || (a < task_.layers_x && b >= task_.layers_x);
  }

  template <class Use>
  void visit(Use use) const {
    const std::int64_t layers = task_.layers_x + task_.layers_y;
    for (std::int64_t a = 0; a < layers; a++)
      for (std::int64_t i = 0; i < blocks(a).count(); i++)
        for (std::int64_t b = a; b < layers; b++)
          for (std::int64_t j = a == b ? i : 0; wanted(a, b) && j < blocks(b).count(); j++)
            use(FeatureBlock{a, blocks(a).begin(i), blocks(a).length(i)},
                FeatureBlock{b, blocks(b).begin(j), blocks(b).length(j)});
  }

  const CovarianceSumsTask& task_;
  const int most_, panel_;
  std::int64_t count_ = 0, runs_ = 0;
  AlignedBuffer pairs_;
};

// A task: one tile over one segment of the samples.
struct Visit {
  std::int64_t pair, segment;
};

template <class T>
class CovarianceWalk {
 public:
  CovarianceWalk(const CovarianceSumsTask& task, const Execution& execution)
      : task_(task),
        execution_(execution),
        pairs_(task, TileShape<T>::rows, TileShape<T>::micro_cols),
        segments_{task.layers[0].x.rows, segment_samples} {
    for (std::int64_t l = 0; l < task.layers_x + task.layers_y; l++)
      tile_rows_ = std::max(tile_rows_, std::min<std::int64_t>(task.layers[l].x.cols, TileShape<T>::rows));
    tile_bytes_ = static_cast<std::size_t>(tile_rows_ * tile_rows_) * sizeof(double);
    part_sums_ = AlignedBuffer(static_cast<std::size_t>(products() + layers()) * sizeof(double));
    std::fill_n(part_products(), products() + layers(), 0.0);
  }

  void run() {
    Layout scratch;
    lay_out(scratch);
    const double tile = static_cast<double>(tile_rows_) * static_cast<double>(tile_rows_);
    const std::int64_t first = pairs_.first_of_run(task_.parts.begin(task_.parts.first, pairs_.runs()));
    const std::int64_t end = pairs_.first_of_run(task_.parts.begin(task_.parts.end, pairs_.runs()));
    const std::int64_t first_task = first * segments_.count();
    const WalkPlan plan{.tasks = (end - first) * segments_.count(),
                        .flops = 2 * tile * static_cast<double>(end - first) * static_cast<double>(segments_.n),
                        .scratch_bytes = scratch.bytes(),
                        .partial_bytes = tile_bytes_,
                        .threads = execution_.threads,
                        .monitor = execution_.monitor};
    sums_ = AlignedBuffer(tile_bytes_ * static_cast<std::size_t>(std::min(pairs_.count(), BlockPairs::longest_run)));
    walk(
        plan,
        [&](std::int64_t task, char* memory, char* answer, Worker& worker) {
          compute(at(first_task + task), memory, reinterpret_cast<double*>(answer), worker);
        },
        [&](std::int64_t task, const char* answer) {
          merge(at(first_task + task), reinterpret_cast<const double*>(answer));
        });
  }

 private:
  static constexpr int segment_samples = 16 * TileShape<T>::depth;  // float32 within a segment, float64 across

  struct Thread {
    bool* started;
    PackedRows<T>* packed;
    Visit* held;  // whose rows and segment the slivers hold
    T *values, *slivers, *panel;
  };

  // A run's pairs for one segment, then for the next: they share the rows packed for that segment.
  Visit at(std::int64_t task) const {
    const BlockPair& begin = pairs_[task / segments_.count()];
    const std::int64_t length = begin.run_end - begin.run_begin;
    const std::int64_t in_run = task - begin.run_begin * segments_.count();
    return {begin.run_begin + in_run % length, in_run / length};
  }

  Thread lay_out(Layout& layout) const {
    const std::int64_t samples = std::min<std::int64_t>(segments_.n, segment_samples);
    Thread thread;
    thread.started = layout.take<bool>(1);
    thread.packed = layout.take<PackedRows<T>>(1);
    thread.held = layout.take<Visit>(1);
    thread.values = layout.take<T>(tile_values<T>(tile_rows_, tile_rows_));
    thread.slivers = layout.take<T>(Product<T>::packed_values(tile_rows_, samples));
    thread.panel = layout.take<T>(Product<T>::panel_values);
    return thread;
  }

  Thread enter(const Visit& visit, char* memory) const {
    Layout layout(memory);
    const Thread thread = lay_out(layout);
    const bool holds =
        *thread.started && thread.held->segment == visit.segment && pairs_[thread.held->pair].a == pairs_[visit.pair].a;
    if (!holds) *thread.packed = {thread.slivers, thread.panel, true, -1};
    *thread.started = true;
    *thread.held = visit;
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

  void compute(const Visit& visit, char* memory, double* sums, Worker& worker) const {
    if (worker.stopped()) return;
    const Thread thread = enter(visit, memory);
    const BlockPair& pair = pairs_[visit.pair];
    const std::int64_t begin = segments_.begin(visit.segment);
    const Tile<T> tile{thread.values, pair.a.length, pair.b.length, tile_stride<T>(pair.b.length), pair.a == pair.b};
    dot_tile(features(pair.a.layer), pair.a.first, features(pair.b.layer), pair.b.first, begin,
             begin + segments_.length(visit.segment), *thread.packed, tile);
    for (int i = 0; i < tile.rows; i++)
      for (int j = 0; j < tile.cols; j++)
        sums[i * tile.cols + j] = tile.diagonal && j < i ? 0.0 : static_cast<double>(tile.row(i)[j]);
  }

  void merge(const Visit& visit, const double* partial) const {
    const BlockPair& pair = pairs_[visit.pair];
    double* sums = reinterpret_cast<double*>(sums_.data()) + (visit.pair - pair.run_begin) * tile_rows_ * tile_rows_;
    const std::int64_t entries = std::int64_t{pair.a.length} * pair.b.length;
    if (visit.segment == 0) std::fill_n(sums, entries, 0.0);
    for (std::int64_t e = 0; e < entries; e++) sums[e] += partial[e];
    if (visit.segment + 1 < segments_.count()) return;
    add_squares(pair, sums);
    if (visit.pair + 1 == pair.run_end && task_.parts.end_with(pair.run, pairs_.runs())) finish_part();
  }

  void finish_part() const {
    for (std::int64_t p = 0; p < products(); p++) task_.products[p] += part_products()[p];
    for (std::int64_t l = 0; l < layers(); l++) task_.self_products[l] += part_self_products()[l];
    std::fill_n(part_products(), products() + layers(), 0.0);
  }

  std::int64_t layers() const { return task_.layers_x + task_.layers_y; }
  std::int64_t columns() const { return task_.layers_y ? task_.layers_y : task_.layers_x; }
  std::int64_t products() const { return task_.layers_x * columns(); }
  double* part_products() const { return reinterpret_cast<double*>(part_sums_.data()); }
  double* part_self_products() const { return part_products() + products(); }

  void add_squares(const BlockPair& pair, const double* sums) const {
    const bool same_layer = pair.a.layer == pair.b.layer, diagonal = pair.a == pair.b;
    double squares = 0, diagonal_squares = 0;
    for (int i = 0; i < pair.a.length; i++) {
      const double* row = sums + static_cast<std::ptrdiff_t>(i) * pair.b.length;
      double row_squares = 0;
      for (int j = diagonal ? i + 1 : 0; j < pair.b.length; j++) row_squares += row[j] * row[j];
      if (diagonal) diagonal_squares += row[i] * row[i];
      squares += row_squares;
    }
    const double sum = same_layer ? 2 * squares + diagonal_squares : squares;
    if (same_layer) part_self_products()[pair.a.layer] += sum;
    if (task_.layers_y == 0)
      part_products()[pair.a.layer * columns() + pair.b.layer] += sum;
    else if (!same_layer)
      part_products()[pair.a.layer * columns() + pair.b.layer - task_.layers_x] += sum;
  }

  const CovarianceSumsTask& task_;
  const Execution& execution_;
  const BlockPairs pairs_;
  const Blocks segments_;
  std::int64_t tile_rows_ = 0;
  std::size_t tile_bytes_ = 0;
  AlignedBuffer sums_;       // (run, tile)
  AlignedBuffer part_sums_;  // the part's products, then its self_products
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
