// Annotations for AddressSanitizer and ThreadSanitizer: which stack runs, what orders two CUDA threads, and which reads
// and writes are the emulator's own. Without sanitizers all of them are empty.
#pragma once

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
#define EMULATOR_UNSEEN __attribute__((no_sanitize("thread")))
extern "C" {
void AnnotateIgnoreReadsBegin(const char* file, int line);
void AnnotateIgnoreReadsEnd(const char* file, int line);
void AnnotateIgnoreWritesBegin(const char* file, int line);
void AnnotateIgnoreWritesEnd(const char* file, int line);
}
#else
#define EMULATOR_UNSEEN
#endif

// For arithmetic on copies of registers, where a sanitizer can find nothing and would take much time.
#define EMULATOR_ARITHMETIC __attribute__((no_sanitize("address", "thread", "undefined")))

namespace emulator {

// During its lifetime, reads and writes are the emulator's bookkeeping and not part of the kernel.
struct Bookkeeping {
#if defined(__SANITIZE_THREAD__)
  Bookkeeping() {
    AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
    AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
  }
  ~Bookkeeping() {
    AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
    AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
  }
#else
  Bookkeeping() {}  // declared, so that an object of it counts as used
#endif
  Bookkeeping(const Bookkeeping&) = delete;
};

// Operations before release(token) in one thread are ordered before those after acquire(token) in another.
inline void release([[maybe_unused]] void* token) {
#if defined(__SANITIZE_THREAD__)
  __tsan_release(token);
#endif
}
inline void acquire([[maybe_unused]] void* token) {
#if defined(__SANITIZE_THREAD__)
  __tsan_acquire(token);
#endif
}

}  // namespace emulator
