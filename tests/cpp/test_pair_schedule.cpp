// Who meets whom and when: every pair once, no block twice in what may run at once, and turns that count.
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

// The turns of a schedule are what tasks, taken in order, count.
template <class Schedule>
std::set<std::pair<std::int64_t, std::int64_t>> meetings(const Schedule& schedule) {
  std::set<std::pair<std::int64_t, std::int64_t>> met;
  std::map<std::int64_t, std::int64_t> turns;
  std::int64_t pairs = 0;
  for (std::int64_t task = 0; task < schedule.count(); task++) {
    const Match match = schedule[task];
    CHECK(turns[match.a]++ == match.turn_a);
    if (match.b < 0) continue;
    if (match.b != match.a) CHECK(turns[match.b]++ == match.turn_b);
    met.insert({match.a, match.b});
    pairs++;
  }
  CHECK(static_cast<std::int64_t>(met.size()) == pairs);
  return met;
}

TEST(in_a_tournament_every_block_meets_itself_and_every_other_once) {
  for (std::int64_t blocks = 1; blocks <= 13; blocks++) {
    const auto met = meetings(Tournament{blocks});
    CHECK(static_cast<std::int64_t>(met.size()) == blocks * (blocks + 1) / 2);
    for (const auto& [a, b] : met) CHECK(0 <= a && a <= b && b < blocks);
  }
}

TEST(in_a_pairing_every_row_block_meets_every_column_block_once) {
  for (std::int64_t rows = 1; rows <= 7; rows++)
    for (std::int64_t columns = 1; columns <= 7; columns++) {
      const auto met = meetings(Pairing{rows, columns});
      CHECK(static_cast<std::int64_t>(met.size()) == rows * columns);
      for (const auto& [a, b] : met) CHECK(0 <= a && a < rows && rows <= b && b < rows + columns);
    }
}

WalkPlan plan_for(int threads) { return {.flops = 1e15, .scratch_bytes = 64, .threads = threads, .monitor = {}}; }

// What every block sees, in order. Not locked: that each body is alone with its blocks is the claim.
std::vector<std::vector<std::int64_t>> history(std::int64_t blocks, int threads) {
  std::vector<std::vector<std::int64_t>> seen(static_cast<std::size_t>(blocks));
  walk_matches(plan_for(threads), Tournament{blocks}, blocks, [&](const Match& match, char*, Worker&) {
    std::this_thread::sleep_for(std::chrono::microseconds((match.a * 7 + match.b * 3) % 50));
    seen[static_cast<std::size_t>(match.a)].push_back(match.b);
    if (match.a != match.b) seen[static_cast<std::size_t>(match.b)].push_back(match.a);
  });
  return seen;
}

TEST(every_block_meets_the_others_in_one_order_for_any_number_of_threads) {
  for (const std::int64_t blocks : {1, 2, 5, 12}) {
    const auto alone = history(blocks, 1);
    for (const auto& others : alone) CHECK(static_cast<std::int64_t>(others.size()) == blocks);
    for (const int threads : {2, 3, 7}) CHECK(history(blocks, threads) == alone);
  }
}

TEST(a_walk_over_matches_can_be_abandoned) {
  Monitor monitor{[](void*, std::int64_t, std::int64_t) { throw std::runtime_error("stop"); }, nullptr};
  for (const int threads : {1, 3}) {
    WalkPlan plan = plan_for(threads);
    plan.monitor = monitor;
    bool stopped = false;
    try {
      walk_matches(plan, Tournament{40}, 40,
                   [](const Match&, char*, Worker&) { std::this_thread::sleep_for(std::chrono::milliseconds(2)); });
    } catch (const std::runtime_error&) {
      stopped = true;
    }
    CHECK(stopped);
  }
}

}  // namespace
}  // namespace GRAMLESS_ISA
}  // namespace gramless
