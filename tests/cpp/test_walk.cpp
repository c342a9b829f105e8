// The walk: order, determinism, bounded memory, progress and abandonment.
#include "engine/walk/walk.hpp"

#include <atomic>
#include <chrono>
#include <stdexcept>
#include <thread>
#include <vector>

#include "check.hpp"

namespace gramless {
namespace {

constexpr int thread_counts[] = {1, 2, 3, 7};
constexpr double many_flops = 1e15;  // never too small for threads

WalkPlan plan_for(std::int64_t tasks, int threads) {
  return {
      .tasks = tasks, .flops = many_flops, .scratch_bytes = 128, .partial_bytes = 8, .threads = threads, .monitor = {}};
}

// Makes tasks finish out of order.
void dawdle(std::int64_t task) { std::this_thread::sleep_for(std::chrono::microseconds(task * 37 % 200)); }

TEST(partial_answers_merge_in_task_order) {
  for (const int threads : thread_counts) {
    constexpr std::int64_t tasks = 500;
    std::vector<std::int64_t> merged;
    walk(
        plan_for(tasks, threads),
        [](std::int64_t task, char*, char* partial, Worker&) {
          dawdle(task);
          *reinterpret_cast<std::int64_t*>(partial) = 3 * task;
        },
        [&](std::int64_t task, const char* partial) {
          CHECK(*reinterpret_cast<const std::int64_t*>(partial) == 3 * task);
          merged.push_back(task);
        });
    CHECK(merged.size() == tasks);
    for (std::size_t m = 0; m < merged.size(); m++) CHECK(merged[m] == static_cast<std::int64_t>(m));
  }
}

double sum_of_inverses(int threads) {
  double sum = 0;
  walk(
      plan_for(1000, threads),
      [](std::int64_t task, char*, char* partial, Worker&) {
        *reinterpret_cast<double*>(partial) = 1.0 / static_cast<double>(task * task + 1);
      },
      [&](std::int64_t, const char* partial) { sum += *reinterpret_cast<const double*>(partial); });
  return sum;
}

TEST(sums_are_the_same_bits_for_any_number_of_threads) {
  const double alone = sum_of_inverses(1);
  for (int repetition = 0; repetition < 10; repetition++)
    for (const int threads : thread_counts) CHECK(sum_of_inverses(threads) == alone);
}

TEST(walks_inside_walks_and_beside_each_other_keep_their_bits) {
  const double alone = sum_of_inverses(1);
  std::vector<std::thread> callers;
  for (int caller = 0; caller < 4; caller++)
    callers.emplace_back([&] {
      walk(
          plan_for(8, 3), [&](std::int64_t, char*, char*, Worker&) { CHECK(sum_of_inverses(3) == alone); },
          [](std::int64_t, const char*) {});
    });
  for (std::thread& caller : callers) caller.join();
}

TEST(each_thread_keeps_its_scratch_and_finishes_it_once) {
  for (const int threads : thread_counts) {
    std::int64_t tasks_seen = 0;
    int finished = 0;
    walk(
        plan_for(300, threads),
        [](std::int64_t task, char* scratch, char*, Worker&) {
          dawdle(task);
          ++*reinterpret_cast<std::int64_t*>(scratch);  // starts as zero
        },
        [](std::int64_t, const char*) {},
        [&](char* scratch) {
          tasks_seen += *reinterpret_cast<std::int64_t*>(scratch);
          finished++;
        });
    CHECK(tasks_seen == 300);
    CHECK(finished >= 1 && finished <= threads);
  }
}

TEST(threads_run_ahead_by_no_more_than_the_ring) {
  constexpr int threads = 3, ring = 2 * threads + 2;
  std::atomic<std::int64_t> merged{0}, furthest{0};
  walk(
      plan_for(200, threads),
      [&](std::int64_t task, char*, char*, Worker&) {
        if (merged == 0) furthest = std::max(furthest.load(), task);
        CHECK(task - merged < ring);
        if (task == 0) std::this_thread::sleep_for(std::chrono::milliseconds(100));
      },
      [&](std::int64_t, const char*) { merged++; });
  CHECK(merged == 200);
  CHECK(furthest < ring);
}

TEST(no_tasks_call_nothing) {
  const auto never = [](auto&&...) { CHECK(false); };
  walk(plan_for(0, 3), never, never, never);
}

TEST(small_walks_stay_on_the_calling_thread) {
  WalkPlan plan = plan_for(50, 7);
  plan.flops = 1000;
  const std::thread::id caller = std::this_thread::get_id();
  walk(
      plan, [&](std::int64_t, char*, char*, Worker&) { CHECK(std::this_thread::get_id() == caller); },
      [](std::int64_t, const char*) {});
}

TEST(progress_is_reported_by_the_caller_and_never_falls) {
  struct Seen {
    std::thread::id caller = std::this_thread::get_id();
    std::int64_t reports = 0, last = 0;
  } seen;
  WalkPlan plan = plan_for(300, 2);
  plan.monitor = {[](void* context, std::int64_t done, std::int64_t total) {
                    Seen& record = *static_cast<Seen*>(context);
                    CHECK(std::this_thread::get_id() == record.caller);
                    CHECK(done >= record.last && done <= total && total == 300);
                    record.last = done;
                    record.reports++;
                  },
                  &seen};
  walk(
      plan, [](std::int64_t, char*, char*, Worker&) { std::this_thread::sleep_for(std::chrono::milliseconds(1)); },
      [](std::int64_t, const char*) {});
  CHECK(seen.reports >= 1);
}

void refuse(void*, std::int64_t, std::int64_t) { throw std::runtime_error("stop"); }

template <class Compute>
bool throws_stop(int threads, Compute compute) {
  WalkPlan plan = plan_for(1 << 20, threads);
  plan.monitor.report = refuse;
  try {
    walk(plan, compute, [](std::int64_t, const char*) {});
  } catch (const std::runtime_error& error) {
    return std::string(error.what()) == "stop";
  }
  return false;
}

TEST(an_exception_of_the_monitor_ends_the_walk_and_leaves_from_the_call) {
  for (const int threads : thread_counts) {
    std::atomic<std::int64_t> computed{0};
    CHECK(throws_stop(threads, [&](std::int64_t, char*, char*, Worker&) {
      computed++;
      std::this_thread::sleep_for(std::chrono::microseconds(100));
    }));
    CHECK(computed < 1 << 20);
    CHECK(sum_of_inverses(threads) == sum_of_inverses(1));  // the next walk works
  }
}

TEST(a_long_task_learns_that_the_walk_is_abandoned) {
  for (const int threads : thread_counts)
    CHECK(throws_stop(threads, [](std::int64_t, char*, char*, Worker& worker) {
      while (!worker.stopped()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }));
}

}  // namespace
}  // namespace gramless
