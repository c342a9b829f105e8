// A short wait without a system call: putting a thread to sleep and waking it up takes longer than most of these waits.
#pragma once

namespace gramless {

// Whether ready() comes true within some 20 microseconds.
template <class Ready>
inline bool spin_until(Ready ready) {
  constexpr int turns = 1000;
  for (int turn = 0; turn < turns; turn++) {
    if (ready()) return true;
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb");
#endif
  }
  return false;
}

}  // namespace gramless
