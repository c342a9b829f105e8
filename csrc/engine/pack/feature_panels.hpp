// The features of many layers side by side, packed for products over samples: panels of RegisterTile::cols features,
// sample after sample, centred and converted. One layout serves as the rows and as the columns of a product.
#pragma once

#include "engine/instructions/to_doubles.hpp"
#include "engine/pack/pack.hpp"
#include "engine/pack/widen.hpp"

namespace gramless {
inline namespace GRAMLESS_ISA {

// A vector of neighbouring features of one layer; the last one of a layer may have fewer than its lanes.
struct FeatureVector {
  std::int64_t layer, first;
  int count;
};

template <class T>
struct FeaturePanel {
  static constexpr int vectors = RegisterTile<T>::cols / lanes<T>, width = RegisterTile<T>::cols;
  // A run of samples: their products are summed in T, runs in float64. A panel of a run stays in the L2 cache.
  static constexpr int samples = (vector_bytes == 64 ? 384 : 256) * 4 / static_cast<int>(sizeof(T));
  static constexpr std::int64_t values = std::int64_t{width} * samples;
};

template <class T>
class FeaturePanels {
 public:
  FeaturePanels(const CenteredRows<T>* layers, const FeatureVector* vectors, std::int64_t count)
      : layers_(layers), vectors_(vectors), count_(count) {}

  static std::int64_t panels(std::int64_t vectors) { return (vectors + Panel::vectors - 1) / Panel::vectors; }

  // Samples [first, first + count) of the vectors from `first_vector` on, which starts a panel, as (panel, samples,
  // width). norms: receives the squared lengths of all samples, (layers, samples), identical to row_norms; null: not
  // computed.
  void pack(std::int64_t first_vector, std::int64_t first, int count, T* packed, double* norms = nullptr) const {
    const int together = norms ? 4 * lanes<float> : count;  // samples still cached when they are measured
    for (std::int64_t vector = first_vector, end; vector < count_; vector = end) {
      for (end = vector + 1; end < count_ && vectors_[end].layer == vectors_[vector].layer;) end++;
      const std::int64_t layer = vectors_[vector].layer;
      for (int k = 0; k < count; k += together) {
        const int samples = std::min(together, count - k);
        T* const to = packed + std::ptrdiff_t{k} * Panel::width;
        pack_layer(vector, end, first + k, samples, to, first_vector);
        if (norms)
          measure_layer(vector - first_vector, end - first_vector, samples, to,
                        norms + layer * layers_[layer].x.rows + first + k);
      }
    }
    for (std::int64_t vector = count_; vector % Panel::vectors != 0; vector++) {  // padding after the last vector
      T* const to = at(packed, vector - first_vector);
      for (int k = 0; k < count; k++) store(to + std::ptrdiff_t{k} * Panel::width, Vector<T>{});
    }
  }

 private:
  using Panel = FeaturePanel<T>;
  static constexpr int piece = 256 / lanes<T>;  // vectors whose squares are summed separately
  static constexpr int samples_ahead = 8;       // prefetched: the processor detects no stream in pieces of samples

  // The offset of each vector of a piece in a packed sample.
  struct Places {
    Places(std::int64_t vector, std::int64_t end)
        : count(static_cast<int>(std::min<std::int64_t>(piece, end - vector))) {
      for (int g = 0; g < count; g++) offsets[g] = offset_of(vector + g);
    }
    int count;
    std::ptrdiff_t offsets[piece];
  };

  // Squared lengths of packed samples over vectors [vector, end), which belong to one layer.
  static void measure_layer(std::int64_t vector, std::int64_t end, int samples, const T* packed, double* norms) {
    for (std::int64_t first = vector; first < end; first += piece) {
      if (first == vector) std::fill_n(norms, samples, 0.0);
      add_squared_lengths(Places(first, end), samples, packed, norms);
    }
  }

  // Not inlined: in its caller its vectors would be spilled.
  __attribute__((noinline)) static void add_squared_lengths(const Places& places, int samples, const T* sample,
                                                            double* norms) {
    for (int k = 0; k < samples; k++, sample += Panel::width) norms[k] += squared_length(places, sample);
  }

  static double squared_length(const Places& places, const T* sample) {
    constexpr int chains = 4, of_vector = lanes<T> / lanes<double>, together = chains / of_vector;
    Vector<double> sums[chains] = {};
    int vector = 0;
    const auto add = [&](int chain) GRAMLESS_INLINE_LAMBDA {
      const T* const values = sample + places.offsets[vector + chain / of_vector] + chain % of_vector * lanes<double>;
      const Vector<double> value = to_doubles(load<Vector<T, lanes<double>>>(values));
      sums[chain] += value * value;
    };
    for (; vector + together <= places.count; vector += together)
#pragma GCC unroll 4
      for (int chain = 0; chain < chains; chain++) add(chain);
#pragma GCC unroll 4
    for (int chain = 0; chain < chains; chain++)
      if (vector + chain / of_vector < places.count) add(chain);
    return horizontal_sum<double>((sums[0] + sums[1]) + (sums[2] + sums[3]));
  }

  static std::ptrdiff_t offset_of(std::int64_t vector) {
    return vector / Panel::vectors * Panel::values + vector % Panel::vectors * lanes<T>;
  }
  static T* at(T* packed, std::int64_t vector) { return packed + offset_of(vector); }

  __attribute__((noinline)) void pack_layer(std::int64_t vector, std::int64_t end, std::int64_t first, int count,
                                            T* packed, std::int64_t first_vector) const {
    const CenteredRows<T>& layer = layers_[vectors_[vector].layer];
    const ArrayView& x = layer.x;
    constexpr Dtype own = sizeof(T) == 4 ? Dtype::float32 : Dtype::float64;
    const std::int64_t whole = vectors_[end - 1].count < lanes<T> ? end - 1 : end;
    const auto target = [&](std::int64_t g) { return at(packed, g - first_vector); };
    if (x.of_unit_rows())
      pack_rows(layer, vector, whole, first, count, packed, first_vector, Unit());
    else if (x.dtype == own && x.col_stride == static_cast<std::int64_t>(sizeof(T)))
      pack_rows(layer, vector, whole, first, count, packed, first_vector, T());
    else if (sizeof(T) == 4 && x.dtype == Dtype::bfloat16 && x.col_stride == 2)
      pack_rows(layer, vector, whole, first, count, packed, first_vector, widened<BFloat16>());
    else if (sizeof(T) == 4 && x.dtype == Dtype::float16 && x.col_stride == 2)
      pack_rows(layer, vector, whole, first, count, packed, first_vector, widened<Half>());
    else if (x.dtype == own && x.row_stride == static_cast<std::int64_t>(sizeof(T)) && x.row_index == nullptr)
      for (std::int64_t g = vector; g < whole; g++) pack_columns(layer, vectors_[g], first, count, target(g));
    else
      for (std::int64_t g = vector; g < whole; g++) pack_entries(layer, vectors_[g], first, count, target(g));
    if (whole < end) pack_entries(layer, vectors_[whole], first, count, target(whole));
  }

  // The type of stored numbers of rows of length 1: read_units converts them to T.
  struct Unit {};

  // float64 never reads 16-bit numbers this way; the type only has to compile.
  template <class Stored>
  static constexpr auto widened() {
    return std::conditional_t<sizeof(T) == 4, Stored, T>();
  }

  template <class Stored>
  void pack_rows(const CenteredRows<T>& layer, std::int64_t vector, std::int64_t end, std::int64_t first, int count,
                 T* packed, std::int64_t first_vector, Stored stored) const {
    for (; vector < end; vector += piece) {
      const Places places(vector - first_vector, end - first_vector);
      pack_pieces(layer, vectors_[vector].first, places, first, count, packed, stored);
    }
  }

  // Features from `feature` on. Not inlined either.
  template <class Stored>
  __attribute__((noinline)) static void pack_pieces(const CenteredRows<T>& layer, std::int64_t feature,
                                                    const Places& places, std::int64_t first, int count, T* packed,
                                                    Stored) {
    const T *const high = layer.center_high + feature, *const low = layer.center_low + feature;
    const T scale = static_cast<T>(layer.x.scale);
    constexpr bool of_unit = std::is_same_v<Stored, Unit>;
    using Read = std::conditional_t<of_unit, T, Stored>;
    [[maybe_unused]] T units[of_unit ? piece * lanes<T> : 1];
    const std::int64_t offset = feature * static_cast<std::int64_t>(sizeof(Read));
    const bool ahead = !of_unit && layer.x.cols > piece * lanes<T>;
    for (int k = 0; k < count; k++, packed += Panel::width) {
      const char* row = layer.x.row(first + k) + offset;
      if constexpr (of_unit) {
        read_units(layer.x, first + k, feature, places.count * lanes<T>, units);
        row = reinterpret_cast<const char*>(units);
      }
      const char* const later = layer.x.row(std::min(first + k + samples_ahead, layer.x.rows - 1)) + offset;
      for (int g = 0; g < places.count; g++, row += lanes<T> * sizeof(Read)) {
        if (ahead) __builtin_prefetch(later + g * lanes<T> * sizeof(Read), 0, 2);
        const Vector<T> center = load<Vector<T>>(high + g * lanes<T>), rest = load<Vector<T>>(low + g * lanes<T>);
        store(packed + places.offsets[g], (load_vector<T>(row, Read()) * scale - center) - rest);
      }
    }
  }

  // Samples adjacent in memory: square blocks transposed in registers.
  void pack_columns(const CenteredRows<T>& layer, const FeatureVector& vector, std::int64_t first, int count,
                    T* to) const {
    const T* const high = layer.center_high + vector.first;
    const T* const low = layer.center_low + vector.first;
    constexpr int side = lanes<T>;
    int k = 0;
    for (; k + side <= count; k += side) {
      Vector<T> block[side];
#pragma GCC unroll 16
      for (int f = 0; f < side; f++) {
        const char* column = layer.x.row(first + k) + (vector.first + f) * layer.x.col_stride;
        block[f] = (load<Vector<T>>(column) * static_cast<T>(layer.x.scale) - high[f]) - low[f];
      }
      transpose<side / 2>(block);
#pragma GCC unroll 16
      for (int s = 0; s < side; s++) store(to + std::ptrdiff_t{k + s} * Panel::width, block[s]);
    }
    FeatureVector rest = vector;
    if (k < count) pack_entries(layer, rest, first + k, count - k, to + std::ptrdiff_t{k} * Panel::width);
  }

  void pack_entries(const CenteredRows<T>& layer, const FeatureVector& vector, std::int64_t first, int count,
                    T* to) const {
    const T* const high = layer.center_high + vector.first;
    const T* const low = layer.center_low + vector.first;
    visit_dtype(layer.x.dtype, [&]<class Stored>() {
      for (int k = 0; k < count; k++, to += Panel::width) {
        const char* const row = layer.x.row(first + k) + vector.first * layer.x.col_stride;
        if (layer.x.of_unit_rows())
          read_units(layer.x, first + k, vector.first, vector.count, to);
        else
          for (int f = 0; f < vector.count; f++) to[f] = load_element<T, Stored>(row + f * layer.x.col_stride);
        for (int f = 0; f < vector.count; f++) to[f] = (to[f] * static_cast<T>(layer.x.scale) - high[f]) - low[f];
        std::fill(to + vector.count, to + lanes<T>, T(0));
      }
    });
  }

  const CenteredRows<T>* layers_;
  const FeatureVector* vectors_;
  const std::int64_t count_;
};

}  // namespace GRAMLESS_ISA
}  // namespace gramless
