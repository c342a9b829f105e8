// Who meets whom on the GPU: every pair of blocks once, no block twice in a round or at a distance.
#include <set>

#include "check.hpp"
#include "engine/walk/pair_schedule_circular.hpp"
#include "engine/walk/pair_schedule_cuda.hpp"

namespace gramless::cuda {
namespace {

TEST(in_rounds_every_two_blocks_meet_once_and_no_block_twice) {
  for (std::int64_t blocks = 1; blocks <= 24; blocks++) {
    const Rounds rounds{blocks};
    std::set<std::pair<std::int64_t, std::int64_t>> met;
    std::int64_t pairs = 0;
    for (std::int64_t round = 0; round < rounds.count(); round++) {
      std::set<std::int64_t> present;
      for (std::int64_t table = 0; table < rounds.tables(); table++) {
        const BlockPair pair = rounds.pair(round, table);
        if (pair.i < 0) continue;
        CHECK(0 <= pair.i && pair.i <= pair.j && pair.j < blocks);
        CHECK(present.insert(pair.i).second);
        if (pair.j != pair.i) CHECK(present.insert(pair.j).second);
        met.insert({pair.i, pair.j});
        pairs++;
      }
      CHECK(static_cast<std::int64_t>(present.size()) == blocks);  // row sums of a round fill their slot
    }
    CHECK(pairs == blocks * (blocks + 1) / 2 && static_cast<std::int64_t>(met.size()) == pairs);
  }
}

TEST(around_a_circle_every_two_blocks_have_one_owner_and_everybody_one_on_each_side) {
  for (int blocks = 1; blocks <= 24; blocks++) {
    const Circle circle{blocks};
    std::set<std::pair<int, int>> owned;
    int pairs = 0;
    for (int distance = 0; distance < circle.distances(); distance++)
      for (int i = 0; i < blocks; i++) {
        const int right = circle.right_of(i, distance);
        CHECK(0 <= right && right < blocks && circle.left_of(right, distance) == i);
        if (!circle.owns_right(i, distance)) continue;
        owned.insert({std::min(i, right), std::max(i, right)});
        pairs++;
      }
    CHECK(pairs == blocks * (blocks + 1) / 2 && static_cast<int>(owned.size()) == pairs);
  }
}

}  // namespace
}  // namespace gramless::cuda
