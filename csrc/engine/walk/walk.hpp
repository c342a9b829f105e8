// The walk: tasks run on all threads in any order, their partial answers merge strictly in task order. Sums are
// therefore bitwise-identical for any number of threads. The walk knows neither tiles nor sums.
#pragma once

#include <cstddef>
#include <cstdint>

#include "support/monitor.hpp"

namespace gramless {

struct WalkPlan {
  std::int64_t tasks = 0;
  double flops = 0;               // of the whole walk; a small walk runs on the calling thread alone
  std::size_t scratch_bytes = 0;  // private to each thread, kept between its tasks; the first 64 bytes start as zero
  std::size_t partial_bytes = 0;  // one task's answer, uninitialised
  int threads = 1;
  Monitor monitor;
};

// What a task may query while it runs.
class Worker {
 public:
  virtual bool stopped() = 0;  // true once the walk is being abandoned; the task's partial answer is then ignored
 protected:
  ~Worker() = default;
};

// Whether the walk that the calling thread runs is being abandoned; false outside of walks. Loops that may take longer
// than some tens of milliseconds call it regularly and return early: their unfinished results are ignored.
bool stop_requested();

namespace walk_detail {

struct WalkSteps {
  void* context;
  void (*compute)(void* context, std::int64_t task, char* scratch, char* partial, Worker& worker);
  void (*merge)(void* context, std::int64_t task, const char* partial);
  void (*finish)(void* context, char* scratch);
};

void walk(const WalkPlan& plan, const WalkSteps& steps);

}  // namespace walk_detail

// compute(task, scratch, partial, worker) runs concurrently; merge(task, partial) and finish(scratch), which is called
// once for each thread's scratch at the end in no fixed order, run one at a time. None of them may throw.
template <class Compute, class Merge, class Finish>
inline void walk(const WalkPlan& plan, Compute compute, Merge merge, Finish finish) {
  struct Context {
    Compute compute;
    Merge merge;
    Finish finish;
  } context{compute, merge, finish};
  walk_detail::walk(plan, {&context,
                           [](void* self, std::int64_t task, char* scratch, char* partial, Worker& worker) {
                             static_cast<Context*>(self)->compute(task, scratch, partial, worker);
                           },
                           [](void* self, std::int64_t task, const char* partial) {
                             static_cast<Context*>(self)->merge(task, partial);
                           },
                           [](void* self, char* scratch) { static_cast<Context*>(self)->finish(scratch); }});
}

template <class Compute, class Merge>
inline void walk(const WalkPlan& plan, Compute compute, Merge merge) {
  walk(plan, compute, merge, [](char*) {});
}

}  // namespace gramless
