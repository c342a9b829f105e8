// Leaving Python for a long call, and entering it again. A thread that comes back to an interpreter which has ended
// meanwhile, as a daemon thread may, waits for the end of the process: Python before 3.14 ends such a thread by
// unwinding its stack, which must not pass a destructor or a catch (...), or the process is aborted.
#pragma once

#include <cxxabi.h>
#include <pybind11/pybind11.h>
#include <unistd.h>

#include <utility>

namespace gramless {

// What call() returns, a call into Python that may run its code.
template <class Call>
auto entering_python(Call call) {
  try {
    return call();
  } catch (abi::__forced_unwind&) {
    while (true) pause();
  }
}

// The global interpreter lock is released for as long as this lives.
class Unlocked {
 public:
  Unlocked() : outer_(std::exchange(of_this_thread, PyEval_SaveThread())) {}
  Unlocked(const Unlocked&) = delete;
  Unlocked& operator=(const Unlocked&) = delete;
  ~Unlocked() { take(std::exchange(of_this_thread, outer_)); }

 private:
  friend class Locked;

  static void take(PyThreadState* state) noexcept {
    entering_python([&] { PyEval_RestoreThread(state); });
  }

  static inline thread_local PyThreadState* of_this_thread = nullptr;
  PyThreadState* const outer_;
};

// The lock taken again by a thread that is Unlocked.
class Locked {
 public:
  Locked() : state_(std::exchange(Unlocked::of_this_thread, nullptr)) {
    if (state_ != nullptr) Unlocked::take(state_);
  }
  Locked(const Locked&) = delete;
  Locked& operator=(const Locked&) = delete;
  ~Locked() {
    if (state_ != nullptr) Unlocked::of_this_thread = PyEval_SaveThread();
  }

 private:
  PyThreadState* const state_;
};

}  // namespace gramless
