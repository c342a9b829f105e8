// The pool of threads: parallel, nested, concurrent and forked use.
#include "support/thread_pool.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <set>
#include <thread>
#include <vector>

#include "check.hpp"

// The tests fork while threads exist; by default ThreadSanitizer ends such a child.
extern "C" __attribute__((visibility("default"))) const char* __tsan_default_options();
extern "C" const char* __tsan_default_options() { return "die_after_fork=0"; }

namespace gramless {
namespace {

// Waits until `count` threads have arrived at the same time; false after a timeout.
class Meeting {
 public:
  explicit Meeting(int count) : missing_(count) {}

  bool attend() {
    missing_--;
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (missing_ > 0) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      std::this_thread::yield();
    }
    return true;
  }

 private:
  std::atomic<int> missing_;
};

bool all_meet(int threads) {
  Meeting meeting(threads);
  std::atomic<bool> met{true};
  run_on_threads(threads, [&] {
    if (!meeting.attend()) met = false;
  });
  return met;
}

TEST(a_body_runs_on_as_many_threads_at_once_as_asked_for) {
  for (const int threads : {1, 2, 3, 7}) CHECK(all_meet(threads));
}

TEST(a_single_thread_is_the_callers_own) {
  std::thread::id seen;
  run_on_threads(1, [&] { seen = std::this_thread::get_id(); });
  CHECK(seen == std::this_thread::get_id());
}

TEST(a_call_returns_after_all_its_bodies) {
  for (int repetition = 0; repetition < 200; repetition++) {
    std::atomic<int> inside{0};
    run_on_threads(4, [&] {
      inside++;
      std::this_thread::yield();
      inside--;
    });
    CHECK(inside == 0);
  }
}

TEST(calls_nest_without_deadlock) {
  std::atomic<int> innermost{0};
  run_on_threads(3, [&] { run_on_threads(3, [&] { run_on_threads(2, [&] { innermost++; }); }); });
  CHECK(innermost >= 1 && innermost <= 18);
}

TEST(threads_of_the_program_may_call_at_the_same_time) {
  std::atomic<int> calls{0};
  std::vector<std::thread> callers;
  for (int caller = 0; caller < 6; caller++)
    callers.emplace_back([&] {
      for (int repetition = 0; repetition < 50; repetition++) run_on_threads(3, [&] { calls++; });
    });
  for (std::thread& caller : callers) caller.join();
  CHECK(calls >= 300 && calls <= 900);
}

TEST(a_forked_child_has_a_pool_of_its_own) {
  CHECK(all_meet(3));
  const pid_t child = fork();
  if (child == 0) {
    alarm(60);
    _exit(all_meet(3) ? 0 : 1);
  }
  int status = -1;
  CHECK(waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  CHECK(all_meet(3));
}

TEST(the_number_of_threads_can_be_set_and_restored) {
  const int automatic = num_threads();
  CHECK(automatic >= 1);
  set_num_threads(5);
  CHECK(num_threads() == 5);
  set_num_threads(0);
  CHECK(num_threads() == automatic);
}

}  // namespace
}  // namespace gramless
