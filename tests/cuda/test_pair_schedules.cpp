// Schedules of pairs of blocks on the GPU: every pair once, no block twice in a round or at a distance.
#include <set>

#include "check.hpp"
#include "engine/walk/pair_schedule_circular.hpp"
#include "engine/walk/pair_schedule_cuda.hpp"

namespace gramless::cuda {
namespace {

TEST(rounds_have_every_pair_of_blocks_once_and_no_block_twice) {
  for (std::int64_t blocks = 1; blocks <= 24; blocks++) {
    const RoundSchedule rounds{blocks};
    std::set<std::pair<std::int64_t, std::int64_t>> met;
    std::int64_t pairs = 0;
    for (std::int64_t round = 0; round < rounds.count(); round++) {
      std::set<std::int64_t> present;
      for (std::int64_t index = 0; index < rounds.pairs_per_round(); index++) {
        const BlockPair pair = rounds.pair(round, index);
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

TEST(in_a_circular_schedule_every_pair_has_one_owner_and_every_block_one_neighbour_on_each_side) {
  for (int blocks = 1; blocks <= 24; blocks++) {
    const CircularSchedule schedule{blocks};
    std::set<std::pair<int, int>> owned;
    int pairs = 0;
    for (int distance = 0; distance < schedule.distances(); distance++)
      for (int i = 0; i < blocks; i++) {
        const int right = schedule.right_of(i, distance);
        CHECK(0 <= right && right < blocks && schedule.left_of(right, distance) == i);
        if (!schedule.owns_right(i, distance)) continue;
        owned.insert({std::min(i, right), std::max(i, right)});
        pairs++;
      }
    CHECK(pairs == blocks * (blocks + 1) / 2 && static_cast<int>(owned.size()) == pairs);
  }
}

}  // namespace
}  // namespace gramless::cuda
