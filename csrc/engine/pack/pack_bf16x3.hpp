// From anybody's matrix to blocks of thirds, centred, rows and depths past the end zero: what the matrix unit reads.
#pragma once

#include "engine/pack/bf16x3.hpp"
#include "engine/pack/pack.hpp"
#include "engine/pack/read_ahead.hpp"

namespace gramless {
inline namespace GRAMLESS_ISA {

constexpr int matrix_block = 2 * Thirds::side;  // rows and columns that the matrix unit multiplies at once

namespace detail {

// 16 rows and 32 columns of centred values, of which `count` and `depth` are there; the others are zero.
struct Corner {
  const CenteredRows<float>& source;
  std::int64_t first_row, first;
  int count, depth;

  template <Factor For>
  void pack(Thirds& thirds) const {
    if (along())
      pack_along<For>(thirds);
    else if (across())
      pack_across<For>(thirds);
    else
      pack_any<For>(thirds);
  }

 private:
  template <Factor For>
  void pack_any(Thirds& thirds) const {
    alignas(64) float values[Thirds::side][Thirds::depth] = {};
    float copy[Thirds::side][Thirds::depth];
    const float* rows[Thirds::side];
    const float scale = static_cast<float>(source.x.scale);
    read_rows(source.x, first_row, count, first, depth, copy, rows);
    for (int r = 0; r < count; r++)
      for (int k = 0; k < depth; k++)
        values[r][k] =
            (load<float>(rows[r] + k) * scale - source.center_high[first + k]) - source.center_low[first + k];
    split_block<For == Factor::right>([&](int r, int h) { return load<Floats>(values[r] + h * Thirds::side); }, thirds);
  }

  // Whole and in rows of float32 adjacent along the depth.
  bool along() const {
    return count == Thirds::side && depth == Thirds::depth && source.x.dtype == Dtype::float32 &&
           source.x.col_stride == sizeof(float);
  }
  template <Factor For>
  void pack_along(Thirds& thirds) const {
    const float scale = static_cast<float>(source.x.scale);
    Floats high[2], low[2];
    for (int h = 0; h < 2; h++) {
      high[h] = load<Floats>(source.center_high + first + h * Thirds::side);
      low[h] = load<Floats>(source.center_low + first + h * Thirds::side);
    }
    split_block<For == Factor::right>(
        [&](int r, int h) {
          const char* row = source.x.row(first_row + r) + (first + h * Thirds::side) * source.x.col_stride;
          return (load<Floats>(reinterpret_cast<const float*>(row)) * scale - high[h]) - low[h];
        },
        thirds);
  }

  // Whole rows, adjacent to each other: a transposed view.
  bool across() const {
    return count == Thirds::side && source.x.dtype == Dtype::float32 && source.x.row_index == nullptr &&
           source.x.row_stride == sizeof(float);
  }
  template <Factor For>
  void pack_across(Thirds& thirds) const {
    const char* const memory = source.x.row(first_row) + first * source.x.col_stride;
    const float scale = static_cast<float>(source.x.scale);
    split_block<For == Factor::left>(
        [&](int r, int h) {
          const int k = h * Thirds::side + r;
          if (k >= depth) return Floats{};
          const Floats stored = load<Floats>(reinterpret_cast<const float*>(memory + k * source.x.col_stride)) * scale;
          return (stored - source.center_high[first + k]) - source.center_low[first + k];
        },
        thirds);
  }
};

}  // namespace detail

// Packs rows [first_row, first_row + count) and columns [first, first + depth): (block of rows, step of depth, half).
template <Factor For>
void pack_thirds(const CenteredRows<float>& source, std::int64_t first_row, int count, std::int64_t first, int depth,
                 Thirds* packed) {
  for (int r = 0; r < count; r += matrix_block)
    for (int k = 0; k < depth; k += Thirds::depth)
      for (int half = 0; half < 2; half++) {
        const int row = r + half * Thirds::side;
        detail::Corner{source, first_row + row, first + k, std::clamp(count - row, 0, Thirds::side),
                       std::min(Thirds::depth, depth - k)}
            .template pack<For>(*packed++);
      }
}

}  // namespace GRAMLESS_ISA
}  // namespace gramless
