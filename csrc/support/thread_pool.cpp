#include "support/thread_pool.hpp"

#include <pthread.h>
#include <sched.h>
#include <signal.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <cstdlib>
#include <deque>
#include <mutex>
#include <new>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>

#include "support/cpu_quota.hpp"
#include "support/spin.hpp"

namespace gramless {
namespace {

struct Job {
  const std::function<void()>* body;
  int openings;                // pool threads that may still join
  std::atomic<int> active{0};  // pool threads inside body
};

class ThreadPool {
 public:
  void run(int threads, const std::function<void()>& body) {
    Job job{&body, threads - 1};
    {
      const std::lock_guard lock(mutex_);
      grow(threads - 1);
      jobs_.push_back(&job);
      posted_++;
    }
    work_.notify_all();
    body();
    std::unique_lock lock(mutex_);
    std::erase(jobs_, &job);  // no thread may join a loop that has run out of work
    lock.unlock();
    spin_until([&] { return job.active == 0; });
    lock.lock();
    done_.wait(lock, [&] { return job.active == 0; });
  }

 private:
  // Threads live as long as the process and the pool is never destroyed. Where the system refuses another thread the
  // loops still finish, with the threads there are.
  void grow(int wanted) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);  // inherited: the program's own threads handle signals
    try {
      for (; size_ < wanted; size_++) std::thread([this] { serve(); }).detach();
    } catch (const std::system_error&) {
    }
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }

  void serve() {
    std::unique_lock lock(mutex_);
    while (true) {
      Job* job = nullptr;
      if (joinable() == nullptr) {  // the next loop of a call usually starts soon
        const std::uint64_t before = posted_;
        lock.unlock();
        spin_until([&] { return posted_ != before; });
        lock.lock();
      }
      work_.wait(lock, [&] { return (job = joinable()) != nullptr; });
      job->openings--;
      job->active++;
      lock.unlock();
      (*job->body)();
      lock.lock();
      if (--job->active == 0) done_.notify_all();
    }
  }

  Job* joinable() {
    for (Job* job : jobs_)
      if (job->openings > 0) return job;
    return nullptr;
  }

  std::mutex mutex_;
  std::condition_variable work_, done_;
  std::deque<Job*> jobs_;
  std::atomic<std::uint64_t> posted_{0};  // jobs so far
  int size_ = 0;
};

std::atomic<ThreadPool*> current_pool{nullptr};
std::mutex creation;

// A forked child has none of its parent's threads, and copies of the parent's locks may never be released: the child
// makes a new pool and leaves the old one's memory alone.
void forget_pool_after_fork() {
  current_pool.store(nullptr);
  new (&creation) std::mutex;
}

ThreadPool& pool() {
  if (ThreadPool* existing = current_pool.load(std::memory_order_acquire)) return *existing;
  const std::lock_guard lock(creation);
  if (current_pool.load() == nullptr) {
    static const int registered = pthread_atfork(nullptr, nullptr, forget_pool_after_fork);
    static_cast<void>(registered);
    current_pool.store(new ThreadPool, std::memory_order_release);
  }
  return *current_pool.load();
}

// 0 where the variable is not set, or empty.
int threads_of_environment() {
  const char* text = std::getenv("GRAMLESS_NUM_THREADS");
  if (text == nullptr || *text == '\0') return 0;
  char* end = nullptr;
  const long wanted = std::strtol(text, &end, 10);
  if (*end != '\0' || wanted < 1 || wanted > 1024)
    throw std::invalid_argument("GRAMLESS_NUM_THREADS must be a number from 1 to 1024 but is '" + std::string(text) +
                                "'");
  return static_cast<int>(wanted);
}

// CPUs that this process may run on.
int allowed_cpus() {
#ifdef __linux__
  cpu_set_t allowed;
  if (sched_getaffinity(0, sizeof allowed, &allowed) == 0) return CPU_COUNT(&allowed);
#endif
  return static_cast<int>(std::thread::hardware_concurrency());
}

int default_threads() {
  if (const int wanted = threads_of_environment()) return wanted;
  int cpus = allowed_cpus();
  if (const int quota = quota_cpus()) cpus = std::min(cpus, quota);
  return std::max(1, cpus);
}

// The default is found at its first use after each reset, 0 until then.
std::atomic<int> chosen_threads{0}, found_threads{0};

}  // namespace

int num_threads() {
  if (const int chosen = chosen_threads.load()) return chosen;
  if (const int found = found_threads.load()) return found;
  const int found = default_threads();
  found_threads.store(found);
  return found;
}

void set_num_threads(int count) {
  chosen_threads.store(std::max(0, count));
  if (count <= 0) found_threads.store(0);
}

void run_on_threads(int threads, const std::function<void()>& body) {
  if (threads <= 1) return body();
  pool().run(threads, body);
}

}  // namespace gramless
