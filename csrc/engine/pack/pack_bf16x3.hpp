// From the caller's matrix to blocks of bf16x3, centred, rows and depths past the end zero: what the matrix unit reads.
#pragma once

#include "engine/pack/bf16x3.hpp"
#include "engine/pack/pack.hpp"
#include "engine/pack/read_ahead.hpp"

namespace gramless {
inline namespace GRAMLESS_ISA {

constexpr int matrix_block = 2 * Bf16x3::side;  // rows and columns that the matrix unit multiplies at once

namespace detail {

// 16 rows and 32 columns of centred values; rows from `count` on and columns from `depth` on are zero.
struct Corner {
  const CenteredRows<float>& source;
  std::int64_t first_row, first;
  int count, depth;

  template <Factor For>
  void pack(Bf16x3& bf16x3) const {
    if (along())
      pack_along<For>(bf16x3);
    else if (across())
      pack_across<For>(bf16x3);
    else
      pack_any<For>(bf16x3);
  }

 private:
  template <Factor For>
  void pack_any(Bf16x3& bf16x3) const {
    alignas(64) float values[Bf16x3::side][Bf16x3::depth] = {};
    float copy[Bf16x3::side][Bf16x3::depth];
    const float* rows[Bf16x3::side];
    const float scale = static_cast<float>(source.x.scale);
    read_rows(source.x, first_row, count, first, depth, copy, rows);
    for (int r = 0; r < count; r++)
      for (int k = 0; k < depth; k++)
        values[r][k] =
            (load<float>(rows[r] + k) * scale - source.center_high[first + k]) - source.center_low[first + k];
    split_block<For == Factor::right>([&](int r, int h) { return load<Floats>(values[r] + h * Bf16x3::side); }, bf16x3);
  }

  // Whether the block is whole and its rows are float32 adjacent along the depth.
  bool along() const {
    return count == Bf16x3::side && depth == Bf16x3::depth && source.x.dtype == Dtype::float32 &&
           source.x.col_stride == sizeof(float) && !source.x.of_unit_rows();
  }
  template <Factor For>
  void pack_along(Bf16x3& bf16x3) const {
    const float scale = static_cast<float>(source.x.scale);
    Floats high[2], low[2];
    for (int h = 0; h < 2; h++) {
      high[h] = load<Floats>(source.center_high + first + h * Bf16x3::side);
      low[h] = load<Floats>(source.center_low + first + h * Bf16x3::side);
    }
    split_block<For == Factor::right>(
        [&](int r, int h) {
          const char* row = source.x.row(first_row + r) + (first + h * Bf16x3::side) * source.x.col_stride;
          return (load<Floats>(reinterpret_cast<const float*>(row)) * scale - high[h]) - low[h];
        },
        bf16x3);
  }

  // Whether its rows are whole and adjacent to each other in memory: a transposed view.
  bool across() const {
    return count == Bf16x3::side && source.x.dtype == Dtype::float32 && source.x.row_index == nullptr &&
           source.x.row_stride == sizeof(float) && !source.x.of_unit_rows();
  }
  template <Factor For>
  void pack_across(Bf16x3& bf16x3) const {
    const char* const memory = source.x.row(first_row) + first * source.x.col_stride;
    const float scale = static_cast<float>(source.x.scale);
    split_block<For == Factor::left>(
        [&](int r, int h) {
          const int k = h * Bf16x3::side + r;
          if (k >= depth) return Floats{};
          const Floats stored = load<Floats>(reinterpret_cast<const float*>(memory + k * source.x.col_stride)) * scale;
          return (stored - source.center_high[first + k]) - source.center_low[first + k];
        },
        bf16x3);
  }
};

}  // namespace detail

// Packs rows [first_row, first_row + count) and columns [first, first + depth): (block of rows, step of depth, half).
template <Factor For>
void pack_bf16x3(const CenteredRows<float>& source, std::int64_t first_row, int count, std::int64_t first, int depth,
                 Bf16x3* packed) {
  for (int r = 0; r < count; r += matrix_block)
    for (int k = 0; k < depth; k += Bf16x3::depth)
      for (int half = 0; half < 2; half++) {
        const int row = r + half * Bf16x3::side;
        detail::Corner{source, first_row + row, first + k, std::clamp(count - row, 0, Bf16x3::side),
                       std::min(Bf16x3::depth, depth - k)}
            .template pack<For>(*packed++);
      }
}

}  // namespace GRAMLESS_ISA
}  // namespace gramless
