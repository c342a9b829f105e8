// How the matrix of pairs is cut into tiles, and vectors' few helpers.
#include "engine/tile/tile.hpp"

#include <cmath>

#include "check.hpp"

namespace gramless {
inline namespace GRAMLESS_ISA {
namespace {

TEST(the_upper_triangle_lists_its_tiles_row_by_row) {
  for (std::int64_t blocks = 1; blocks < 40; blocks++) {
    const UpperTriangle tiles{blocks};
    std::int64_t task = 0;
    for (std::int64_t i = 0; i < blocks; i++)
      for (std::int64_t j = i; j < blocks; j++, task++) CHECK(tiles[task].i == i && tiles[task].j == j);
    CHECK(tiles.count() == task);
  }
}

TEST(blocks_cover_every_row_once) {
  for (std::int64_t n = 1; n < 50; n++)
    for (int size = 1; size < 20; size++) {
      const Blocks blocks{n, size};
      std::int64_t next = 0;
      for (std::int64_t block = 0; block < blocks.count(); block++) {
        CHECK(blocks.begin(block) == next);
        CHECK(blocks.length(block) >= 1 && blocks.length(block) <= size);
        next += blocks.length(block);
      }
      CHECK(next == n);
    }
}

template <class T>
void check_vectors() {
  const Vector<T> zeros = splat(T(-0.0));
  Vector<T> values;
  for (int lane = 0; lane < lanes<T>; lane++) {
    CHECK(zeros[lane] == 0 && std::signbit(zeros[lane]));
    CHECK(lane_numbers<T>()[lane] == lane);
    values[lane] = static_cast<T>(lane * lane);
  }
  constexpr int last = lanes<T> - 1;
  CHECK(horizontal_sum<T>(values) == last * (last + 1) * (2 * last + 1) / 6);
}

TEST(vectors_splat_number_and_sum_their_lanes) {
  check_vectors<float>();
  check_vectors<double>();
}

}  // namespace
}  // namespace GRAMLESS_ISA
}  // namespace gramless
