// The largest number of rows of a launch; an error message if there are more.
#pragma once

#include "engine/walk/pair_schedule_cuda.hpp"
#include "ops/hsic/representation.cuh"

namespace gramless::cuda {

// For kernels over rounds of tiles.
inline const char* too_many_for_rounds(std::int64_t rows, Operand operand) {
  constexpr std::int64_t most = most_rows<SplitOperand>, most_double = most_rows<DoubleOperand>;
  static_assert(most == 16776832 && most_double == 8388416);
  static_assert(RoundSchedule{most / SquareShape<SplitOperand>::rows}.pairs_per_round() == most_grid_y);
  if (rows <= (operand == Operand::float64 ? most_double : most)) return nullptr;
  return "more than 16776832 rows (float64: 8388416) do not fit into a launch; take fewer rows";
}

// For kernels that prepare rows.
inline const char* too_many_to_prepare(std::int64_t rows) {
  static_assert(most_grid_y * sum_chunk_rows == 67107840);
  return rows <= most_grid_y * sum_chunk_rows ? nullptr
                                              : "more than 67107840 rows do not fit into a launch; take fewer rows";
}

}  // namespace gramless::cuda
