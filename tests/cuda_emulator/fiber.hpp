// A fiber: a separate stack that execution is switched to and from. Every CUDA thread is one; the scheduler is another.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <vector>

#include "cuda_emulator/sanitizers.hpp"

#if !defined(__x86_64__)
#include <ucontext.h>
#endif

namespace emulator {

struct Fiber {
#if defined(__x86_64__)
  void* top = nullptr;  // of its saved registers
#else
  ucontext_t context;
#endif
  char* stack = nullptr;
  std::size_t bytes = 0;
  void* fake_stack = nullptr;   // AddressSanitizer's
  void* tsan_thread = nullptr;  // ThreadSanitizer's
};

#if defined(__x86_64__)
extern "C" void emulator_switch(void** save, void* load);
asm(R"(.text
.weak emulator_switch
.type emulator_switch,@function
emulator_switch:
  pushq %rbp; pushq %rbx; pushq %r12; pushq %r13; pushq %r14; pushq %r15
  subq $8,%rsp; stmxcsr (%rsp); fnstcw 4(%rsp)
  movq %rsp,(%rdi); movq %rsi,%rsp
  ldmxcsr (%rsp); fldcw 4(%rsp); addq $8,%rsp
  popq %r15; popq %r14; popq %r13; popq %r12; popq %rbx; popq %rbp
  ret
.size emulator_switch,.-emulator_switch
)");
#endif

EMULATOR_UNSEEN inline void switch_fibers(Fiber& from, Fiber& to) {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(&from.fake_stack, to.stack, to.bytes);
#endif
#if defined(__SANITIZE_THREAD__)
  __tsan_switch_to_fiber(to.tsan_thread, 1);  // 1: a switch does not synchronise
#endif
#if defined(__x86_64__)
  emulator_switch(&from.top, to.top);
#else
  swapcontext(&from.context, &to.context);
#endif
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(from.fake_stack, nullptr, nullptr);
#endif
}

// Stacks are reused, except under ThreadSanitizer, which would report two fibers on one stack as a race.
class StackPool {
 public:
  ~StackPool() {
    for (char* stack : free_) unmap(stack);
  }

  char* take() {
    if (free_.empty()) return map();
    char* const stack = free_.back();
    free_.pop_back();
#if defined(__SANITIZE_ADDRESS__)
    __asan_unpoison_memory_region(stack, bytes);  // frames that never returned
#endif
    return stack;
  }
  void give(char* stack) {
#if defined(__SANITIZE_THREAD__)
    unmap(stack);
#else
    free_.push_back(stack);
#endif
  }

  static constexpr std::size_t bytes = 128 << 10;

 private:
  static constexpr std::size_t guard = 4096;  // a stack that overflows stops there

  static char* map() {
    void* memory =
        mmap(nullptr, bytes + guard, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    mprotect(memory, guard, PROT_NONE);
    return static_cast<char*>(memory) + guard;
  }
  static void unmap(char* stack) { munmap(stack - guard, bytes + guard); }

  std::vector<char*> free_;
};
inline StackPool stacks;

// `entry` must never return.
inline void create(Fiber& fiber, void (*entry)()) {
  fiber.stack = stacks.take();
  fiber.bytes = StackPool::bytes;
#if defined(__SANITIZE_THREAD__)
  fiber.tsan_thread = __tsan_create_fiber(0);
#endif
#if defined(__x86_64__)
  void** top = reinterpret_cast<void**>(fiber.stack + fiber.bytes) - 3;  // 8 modulo 16 on entry, as after a call
  *--top = reinterpret_cast<void*>(entry);
  for (int i = 0; i < 6; i++) *--top = nullptr;
  --top;
  std::uint32_t* const control = reinterpret_cast<std::uint32_t*>(top);
  asm volatile("stmxcsr %0" : "=m"(control[0]));
  asm volatile("fnstcw %0" : "=m"(control[1]));
  fiber.top = top;
#else
  getcontext(&fiber.context);
  fiber.context.uc_stack.ss_sp = fiber.stack;
  fiber.context.uc_stack.ss_size = fiber.bytes;
  fiber.context.uc_link = nullptr;
  makecontext(&fiber.context, entry, 0);
#endif
}

inline void destroy(Fiber& fiber) {
#if defined(__SANITIZE_THREAD__)
  __tsan_destroy_fiber(fiber.tsan_thread);
#endif
  stacks.give(fiber.stack);
}

}  // namespace emulator
