// Schedules of pairs of blocks: every pair once, no block twice among pairs that may run at once, and counts of earlier
// pairs.
#include <map>
#include <set>
#include <stdexcept>
#include <thread>
#include <vector>

#include "check.hpp"
#include "engine/walk/block_pair_walk.hpp"

namespace gramless {
inline namespace GRAMLESS_ISA {
namespace {

// The counts of a schedule are those of tasks taken in order.
template <class Schedule>
std::set<std::pair<std::int64_t, std::int64_t>> pairs_of(const Schedule& schedule) {
  std::set<std::pair<std::int64_t, std::int64_t>> found;
  std::map<std::int64_t, std::int64_t> earlier;
  std::int64_t pairs = 0;
  for (std::int64_t task = 0; task < schedule.count(); task++) {
    const BlockPair pair = schedule[task];
    CHECK(earlier[pair.a]++ == pair.earlier_a);
    if (pair.b < 0) continue;
    if (pair.b != pair.a) CHECK(earlier[pair.b]++ == pair.earlier_b);
    found.insert({pair.a, pair.b});
    pairs++;
  }
  CHECK(static_cast<std::int64_t>(found.size()) == pairs);
  return found;
}

TEST(a_symmetric_schedule_has_every_pair_of_blocks_once) {
  for (std::int64_t blocks = 1; blocks <= 13; blocks++) {
    const auto found = pairs_of(SymmetricSchedule{blocks});
    CHECK(static_cast<std::int64_t>(found.size()) == blocks * (blocks + 1) / 2);
    for (const auto& [a, b] : found) CHECK(0 <= a && a <= b && b < blocks);
  }
}

TEST(a_rectangular_schedule_has_every_row_block_with_every_column_block_once) {
  for (std::int64_t rows = 1; rows <= 7; rows++)
    for (std::int64_t columns = 1; columns <= 7; columns++) {
      const auto found = pairs_of(RectangularSchedule{rows, columns});
      CHECK(static_cast<std::int64_t>(found.size()) == rows * columns);
      for (const auto& [a, b] : found) CHECK(0 <= a && a < rows && rows <= b && b < rows + columns);
    }
}

WalkPlan plan_for(int threads) { return {.flops = 1e15, .scratch_bytes = 64, .threads = threads, .monitor = {}}; }

// The pairs of every block, in order. Without a lock, because the test checks that no two bodies have a block at the
// same time.
std::vector<std::vector<std::int64_t>> history(std::int64_t blocks, int threads) {
  std::vector<std::vector<std::int64_t>> seen(static_cast<std::size_t>(blocks));
  walk_block_pairs(plan_for(threads), SymmetricSchedule{blocks}, blocks, [&](const BlockPair& pair, char*, Worker&) {
    std::this_thread::sleep_for(std::chrono::microseconds((pair.a * 7 + pair.b * 3) % 50));
    seen[static_cast<std::size_t>(pair.a)].push_back(pair.b);
    if (pair.a != pair.b) seen[static_cast<std::size_t>(pair.b)].push_back(pair.a);
  });
  return seen;
}

TEST(every_block_is_paired_with_the_others_in_one_order_for_any_number_of_threads) {
  for (const std::int64_t blocks : {1, 2, 5, 12}) {
    const auto alone = history(blocks, 1);
    for (const auto& others : alone) CHECK(static_cast<std::int64_t>(others.size()) == blocks);
    for (const int threads : {2, 3, 7}) CHECK(history(blocks, threads) == alone);
  }
}

TEST(a_walk_over_block_pairs_can_be_abandoned) {
  Monitor monitor{[](void*, std::int64_t, std::int64_t) { throw std::runtime_error("stop"); }, nullptr};
  for (const int threads : {1, 3}) {
    WalkPlan plan = plan_for(threads);
    plan.monitor = monitor;
    bool stopped = false;
    try {
      walk_block_pairs(plan, SymmetricSchedule{40}, 40, [](const BlockPair&, char*, Worker&) {
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
      });
    } catch (const std::runtime_error&) {
      stopped = true;
    }
    CHECK(stopped);
  }
}

TEST(walks_shorter_than_the_interval_of_reports_report_together) {
  ReportClock clock;
  int reports = 0;
  const Monitor monitor{[](void* count, std::int64_t, std::int64_t) { ++*static_cast<int*>(count); }, &reports, &clock};
  for (int walked = 0; walked < 30; walked++) {
    WalkPlan plan = plan_for(2);
    plan.monitor = monitor;
    walk_block_pairs(plan, SymmetricSchedule{2}, 2, [](const BlockPair&, char*, Worker&) {
      std::this_thread::sleep_for(std::chrono::milliseconds(3));
    });
  }
  CHECK(reports > 0);
}

}  // namespace
}  // namespace GRAMLESS_ISA
}  // namespace gramless
