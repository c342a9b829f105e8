// Releasing the global interpreter lock for a long call, and taking it again. A thread that returns to an interpreter
// which has ended meanwhile, as a daemon thread may, waits for the end of the process: Python before 3.14 ends such a
// thread by unwinding its stack, and the process is aborted if that reaches a destructor or a catch (...).
#pragma once

#include <cxxabi.h>
#include <pybind11/pybind11.h>
#include <unistd.h>

#include <utility>

namespace gramless {

// Returns the result of call(), which calls into Python and may run Python code.
template <class Call>
auto entering_python(Call call) {
  try {
    return call();
  } catch (abi::__forced_unwind&) {
    while (true) pause();
  }
}

// Releases the global interpreter lock during its lifetime.
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

// Takes the lock again during its lifetime, in a thread that has released it with Unlocked.
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
