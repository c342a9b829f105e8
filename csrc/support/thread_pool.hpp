// The library's one pool of threads. It knows no task: it lends idle threads to the thread that runs a loop.
#pragma once

#include <functional>

namespace gramless {

// Threads a call may use: GRAMLESS_NUM_THREADS, else the CPUs this process may run on (affinity and cgroup quota).
int num_threads();
void set_num_threads(int count);  // 0: the default, from the CPUs available at this moment

// Runs body() on the calling thread and on up to `threads - 1` pool threads at once, and returns when all have
// returned. The caller never waits for a free pool thread, so concurrent and nested calls cannot deadlock. body must
// not throw.
void run_on_threads(int threads, const std::function<void()>& body);

}  // namespace gramless
