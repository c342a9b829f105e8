// Linear HSIC in feature space: one product over samples of the features of all layers with themselves, right of the
// diagonal, and the sums of its squares for every pair of layers.
#include "engine/product/covariance_tile.hpp"
#include "engine/walk/joined_progress.hpp"
#include "engine/walk/walk.hpp"
#include "ops/dispatch/isa_ops.hpp"
#include "ops/dispatch/scratch.hpp"
#include "ops/gram/covariance_features.hpp"
#include "support/workspace.hpp"

namespace gramless {
inline namespace GRAMLESS_ISA {
namespace {

template <class T>
class CovarianceWalk {
 public:
  CovarianceWalk(const CovarianceSumsTask& task, const Execution& execution)
      : task_(task),
        execution_(execution),
        features_(task),
        panels_(features_.panels()),
        runs_{task.layers[0].x.rows, Panel::samples},
        layers_(task.layers_x + task.layers_y),
        stride_(round_up(features_.width(), Panel::width)),
        norms_(task.layers[0].row_stats ? nullptr : task.self_products + layers_),
        narrow_(features_.width() * static_cast<std::int64_t>(sizeof(T)) <= most_narrow_bytes) {
    squares_ = AlignedBuffer(static_cast<std::size_t>(row_end() * (layers_ + 1)) * sizeof(double));
    std::fill_n(squares_of(0), row_end() * (layers_ + 1), 0.0);
  }

  void run() {
    const std::int64_t first = first_row(task_.parts.first), end = first_row(task_.parts.end);
    const std::int64_t most = std::max<std::int64_t>(1, most_sums_bytes / (8 * stride_ * Panel::width)) * Panel::width;
    const std::int64_t bands = (end - first + most - 1) / most;
    JoinedProgress progress(execution_.monitor,
                            std::max<std::int64_t>(1, bands * (narrow_ ? 2 : 2 * segments().count() + 1)));
    for (std::int64_t row = first; row < end; row += most) sum_band({row, std::min(end, row + most)}, progress);
    for (std::int64_t part = task_.parts.first; part < task_.parts.end; part++) add_part(part);
  }

 private:
  using Panel = FeaturePanel<T>;
  static constexpr int micro_rows = RegisterTile<T>::rows, strip = 12 * micro_rows;
  static constexpr std::int64_t most_narrow_bytes = 2048;      // of a sample: its products then stay in a core's cache
  static constexpr std::int64_t most_shares_bytes = 16 << 20;  // of narrow products, by shares of the samples
  static constexpr std::int64_t most_segment_bytes = 4 << 20;  // of packed samples, for all threads
  static constexpr std::int64_t most_sums_bytes = std::int64_t{128} << 20;  // of products: beyond it in bands of rows

  struct Band {
    std::int64_t first, end;  // rows: features
  };

  std::int64_t row_end() const { return round_up(features_.width(), micro_rows); }
  std::int64_t first_row(std::int64_t part) const {
    return task_.parts.begin(part, row_end() / micro_rows) * micro_rows;
  }
  double* squares_of(std::int64_t row) const {  // (rows, layers + 1): the last one is the square on the diagonal
    return reinterpret_cast<double*>(squares_.data()) + row * (layers_ + 1);
  }

  bool wanted(std::int64_t a, std::int64_t b) const {
    return a == b || task_.layers_y == 0 || (a < task_.layers_x && b >= task_.layers_x);
  }
  // A register tile's rows may be of two layers, a panel's columns of many.
  bool tile_wanted(std::int64_t row, std::int64_t panel) const {
    if (task_.layers_y == 0) return true;
    const std::int64_t first = features_.layer_at(panel * Panel::width);
    const std::int64_t last = features_.layer_at((panel + 1) * Panel::width - 1);
    for (std::int64_t a = features_.layer_at(row); a <= features_.layer_at(row + micro_rows - 1); a++)
      if ((first <= a && a <= last) || (a < task_.layers_x && last >= task_.layers_x)) return true;
    return false;
  }

  void sum_band(const Band& band, JoinedProgress& progress) {
    const std::int64_t first_panel = band.first / Panel::width;
    const std::int64_t packed_width = stride_ - first_panel * Panel::width;
    const std::int64_t sums = (band.end - band.first) * packed_width;
    const std::int64_t shares = narrow_ ? sample_shares() : 1;
    Layout measured;
    measured.take<double>(shares * sums);
    measured.take<T>(narrow_ ? 0 : packed_width * segments().size);
    const Workspace memory(measured.bytes(), Workspace::BeyondLimit::fresh);
    Layout layout(memory.data());
    double* const products = layout.take<double>(shares * sums);
    T* const packed = layout.take<T>(narrow_ ? 0 : packed_width * segments().size);
    if (narrow_)
      multiply_shares(band, shares, sums, products, progress);
    else
      multiply_segments(band, products, packed, progress);
    square_rows(band, shares, sums, products, progress);
  }

  // Enough shares to keep threads busy. All parts have the same number of shares, which does not depend on the number
  // of threads.
  std::int64_t sample_shares() const {
    const std::int64_t bytes = row_end() * stride_ * static_cast<std::int64_t>(sizeof(double));
    const std::int64_t fit = std::max<std::int64_t>(4, most_shares_bytes / bytes);
    return std::clamp<std::int64_t>(round_up(runs_.count() / 3, 2), 1, std::min<std::int64_t>(32, fit));
  }

  Blocks segments() const {
    const std::int64_t run_bytes = stride_ * Panel::samples * static_cast<std::int64_t>(sizeof(T));
    const std::int64_t runs = std::clamp<std::int64_t>(most_segment_bytes / run_bytes, 1, runs_.count());
    return {runs_.n, static_cast<int>(runs * Panel::samples)};
  }

  double flops(const Band& band, std::int64_t samples) const {
    return 2.0 * static_cast<double>(band.end - band.first) *
           (static_cast<double>(stride_) - 0.5 * static_cast<double>(band.first + band.end)) *
           static_cast<double>(samples);
  }

  void pack_run(std::int64_t run, std::int64_t first_vector, T* packed) const {
    const std::int64_t first = runs_.begin(run);
    panels_.pack(first_vector, first, runs_.length(run), packed, first_vector == 0 ? norms_ : nullptr);
  }

  void add_rows(const Band& band, std::int64_t first, std::int64_t end, const T* packed, std::int64_t run,
                double* products) const {
    const std::int64_t first_panel = band.first / Panel::width, stride = stride_ - first_panel * Panel::width;
    for (std::int64_t row = first; row < end; row += 2 * strip)
      add_covariance_rows<T>({packed, runs_.length(run), first_panel * Panel::vectors, features_.count(),
                              products + (row - band.first) * stride, stride, !narrow_},
                             row, std::min(end, row + 2 * strip),
                             [this](std::int64_t i, std::int64_t panel) { return tile_wanted(i, panel); });
  }

  // Few features: each task sums a share of the samples, packed a run at a time.
  void multiply_shares(const Band& band, std::int64_t shares, std::int64_t sums, double* products,
                       JoinedProgress& progress) {
    const std::int64_t first_vector = band.first / Panel::width * Panel::vectors;
    const WalkPlan plan{.tasks = shares,
                        .flops = flops(band, runs_.n),
                        .scratch_bytes = static_cast<std::size_t>(stride_ * Panel::samples) * sizeof(T),
                        .threads = execution_.threads,
                        .monitor = progress.next()};
    walk(
        plan,
        [&](std::int64_t share, char* memory, char*, Worker& worker) {
          T* const packed = reinterpret_cast<T*>(memory);
          double* const own = products + share * sums;
          std::fill_n(own, sums, 0.0);
          for (std::int64_t run = runs_.count() * share / shares; run < runs_.count() * (share + 1) / shares; run++) {
            if (worker.stopped()) return;
            pack_run(run, first_vector, packed);
            add_rows(band, band.first, band.end, packed, run, own);
          }
        },
        [](std::int64_t, const char*) {});
  }

  // Many features: the threads pack a segment of samples together, then multiply it, each task for its own rows.
  void multiply_segments(const Band& band, double* products, T* packed, JoinedProgress& progress) {
    const std::int64_t first_panel = band.first / Panel::width, stride = stride_ - first_panel * Panel::width;
    const Blocks segments = this->segments(), strips{band.end - band.first, strip};
    const std::int64_t runs_of_segment = segments.size / Panel::samples;
    for (std::int64_t segment = 0; segment < segments.count(); segment++) {
      const std::int64_t first_run = segment * runs_of_segment;
      const std::int64_t runs = std::min(runs_of_segment, runs_.count() - first_run);
      const auto packed_run = [&](std::int64_t run) { return packed + run * stride * Panel::samples; };
      WalkPlan plan{.tasks = runs,
                    .flops = 16.0 * static_cast<double>(stride * segments.length(segment)),
                    .threads = execution_.threads,
                    .monitor = progress.next()};
      const auto keep = [](std::int64_t, const char*) {};
      walk(
          plan,
          [&](std::int64_t run, char*, char*, Worker&) {
            pack_run(first_run + run, first_panel * Panel::vectors, packed_run(run));
          },
          keep);
      plan.tasks = strips.count();
      plan.flops = flops(band, segments.length(segment));
      plan.monitor = progress.next();
      walk(
          plan,
          [&](std::int64_t s, char*, char*, Worker& worker) {
            const std::int64_t first = band.first + strips.begin(s);
            if (segment == 0) std::fill_n(products + strips.begin(s) * stride, strips.length(s) * stride, 0.0);
            for (std::int64_t run = 0; run < runs && !worker.stopped(); run++)
              add_rows(band, first, first + strips.length(s), packed_run(run), first_run + run, products);
          },
          keep);
    }
  }

  void square_rows(const Band& band, std::int64_t shares, std::int64_t sums, double* products,
                   JoinedProgress& progress) {
    const std::int64_t stride = stride_ - band.first / Panel::width * Panel::width;
    const Blocks strips{band.end - band.first, strip};
    const WalkPlan plan{.tasks = strips.count(),
                        .flops = 4.0 * static_cast<double>(shares * sums),
                        .threads = execution_.threads,
                        .monitor = progress.next()};
    walk(
        plan,
        [&](std::int64_t s, char*, char*, Worker&) {
          for (std::int64_t row = strips.begin(s); row < strips.begin(s) + strips.length(s); row++) {
            double* const own = products + row * stride;
            const std::int64_t diagonal = (band.first + row) / lanes<T> * lanes<T> - (stride_ - stride);
            for (std::int64_t share = 1; share < shares; share++)
              for (std::int64_t j = diagonal; j < stride; j++) own[j] += own[share * sums + j];
            if (band.first + row >= features_.width()) continue;
            square_row(band.first + row, own - (stride_ - stride));
            if (task_.covariances) store_row(band.first + row, own - (stride_ - stride));
          }
        },
        [](std::int64_t, const char*) {});
  }

  // products: those of that row with all features.
  void square_row(std::int64_t row, const double* products) const {
    const std::int64_t a = features_.layer_at(row);
    double* const squares = squares_of(row);
    squares[layers_] = products[row] * products[row];
    for (std::int64_t j = row + 1, end; j < features_.width(); j = end) {
      const std::int64_t b = features_.layer_at(j);
      for (end = j; end < features_.width() && features_.layer_at(end) == b;) end = round_up(end + 1, lanes<T>);
      if (!wanted(a, b)) continue;
      squares[b] += inner_product(products, products, j, end);
    }
  }

  // Right of the diagonal, and mirrored.
  void store_row(std::int64_t row, const double* products) const {
    const std::int64_t own = features_.number_at(row), all = features_.features();
    if (own < 0) return;
    for (std::int64_t j = row; j < features_.width(); j++) {
      const std::int64_t other = features_.number_at(j);
      if (other < 0) continue;
      task_.covariances[own * all + other] = products[j];
      task_.covariances[other * all + own] = products[j];
    }
  }

  void add_part(std::int64_t part) const {
    const std::int64_t columns = task_.layers_y ? task_.layers_y : task_.layers_x;
    const AlignedBuffer memory(static_cast<std::size_t>(layers_ * layers_) * sizeof(double));
    double* const sums = reinterpret_cast<double*>(memory.data());
    std::fill_n(sums, layers_ * layers_, 0.0);
    for (std::int64_t row = first_row(part); row < std::min(first_row(part + 1), features_.width()); row++) {
      const std::int64_t a = features_.layer_at(row);
      const double* const squares = squares_of(row);
      for (std::int64_t b = a; b < layers_; b++)
        sums[a * layers_ + b] += a == b ? 2 * squares[b] + squares[layers_] : squares[b];
    }
    for (std::int64_t a = 0; a < layers_; a++) {
      task_.self_products[a] += sums[a * layers_ + a];
      for (std::int64_t b = a; b < layers_ && a < task_.layers_x; b++)
        if (task_.layers_y == 0)
          task_.products[a * columns + b] += sums[a * layers_ + b];
        else if (b >= task_.layers_x)
          task_.products[a * columns + b - task_.layers_x] += sums[a * layers_ + b];
    }
  }

  const CovarianceSumsTask& task_;
  const Execution& execution_;
  const CovarianceFeatures<T> features_;
  const FeaturePanels<T> panels_;
  const Blocks runs_;
  const std::int64_t layers_, stride_;
  double* const norms_;  // (layers, n), or null
  const bool narrow_;
  AlignedBuffer squares_;
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
