// A block of CUDA threads and the operations at which its threads wait: barriers of the block, operations of a warp.
#pragma once

#include <array>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <random>
#include <stdexcept>
#include <string>
#include <unordered_map>
#include <vector>

#include "cuda_emulator/fiber.hpp"

namespace emulator {

// An error of a kernel.
struct Error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// The device's compute capability times 10: 80, or the value of the environment variable.
inline int capability_asked_for() {
  const char* const asked = std::getenv("GRAMLESS_EMULATED_CAPABILITY");
  return asked == nullptr ? 80 : std::atoi(asked);
}

struct Options {
  enum class Order : std::uint8_t { forward, reverse, random } order = Order::forward;  // which thread runs next
  bool late_copies = true;  // asynchronous copies and products end at the wait, else at once
  std::uint64_t seed = 1;
  int capability = capability_asked_for();  // 10 times the device's
  int multiprocessors = 132;
  std::int64_t l2_bytes = 50 << 20;
};
inline Options options;

struct Index {
  unsigned x = 0, y = 0, z = 0;
};
struct Extent {
  unsigned x = 1, y = 1, z = 1;
};

// A line of the kernel's source.
struct Site {
  const char* file = nullptr;
  int line = 0;

  bool operator==(const Site& other) const {
    return line == other.line && (file == other.file || std::strcmp(file, other.file) == 0);
  }
  std::string text() const { return std::string(file) + ":" + std::to_string(line); }
};
inline Site here(const char* file = __builtin_FILE(), int line = __builtin_LINE()) { return {file, line}; }

struct AsyncCopy {
  void* to;
  const void* from;
  unsigned bytes;
  bool landed;
};

struct Thread {
  enum class State : std::uint8_t { ready, blocked, done } state = State::ready;
  Fiber fiber;
  Index index;
  unsigned number = 0, warp = 0, lane = 0;
  Site waits_at;
  std::vector<AsyncCopy> open_copies;
  std::vector<std::vector<AsyncCopy>> copy_groups;
  std::map<float*, std::vector<float>> sums;  // of products under way, by the registers they are for
  std::size_t committed = 0;                  // groups of products
  bool fenced = false;

  // Operations that the thread must wait for before it ends.
  bool has_copies() const { return !(open_copies.empty() && copy_groups.empty()); }
  void forget_operations() {
    open_copies.clear();
    copy_groups.clear();
    sums.clear();
    committed = 0;
    fenced = false;
  }
};

using WarpOperands = std::uint64_t[32][16];  // of each lane; results are returned in the same array

struct Warp {
  unsigned arrived = 0, mask = 0;
  unsigned synchronized = 0;  // how often
  const char* operation = nullptr;
  Site site;
  WarpOperands operands;
};

struct Barrier {
  std::size_t arrived = 0;
  unsigned phase = 0;
  Site site;
  std::vector<Thread*> waiting;
};

// A barrier that counts arrivals and bytes.
struct PhaseBarrier {
  int arrivals = 0, missing = 0;
  std::int64_t bytes = 0;  // not landed yet
  unsigned phase = 0;      // number of ended phases
  bool published = false;  // whether it is visible to copies
  char* tokens[2] = {};    // of even and odd phases
  std::vector<Thread*> waiting;
};

// A product of a warpgroup: the descriptors of both factors, or of one factor and each thread's registers with the
// other, and the addresses of each thread's sums.
struct Product {
  std::uint64_t a = 0, b = 0;
  bool add = false, bfloat = false, from_registers = false;
  std::array<const std::uint32_t*, 128> fragments = {};
  std::array<float*, 128> sums = {};
};

// The products that a warpgroup committed as one group, and the token of the thread that committed them.
struct ProductGroup {
  char* issued = nullptr;
  std::vector<Product> products;
};

struct Warpgroup {
  const char* operation = nullptr;
  Site site;
  std::vector<Thread*> waiting, draining;  // threads that wait for the others, or for groups of products
  Product next;
  std::vector<Product> open;
  std::deque<ProductGroup> committed;
  std::size_t ended = 0;  // groups
  char* token = nullptr;
};

struct Operation {
  char* issued;  // the token of the thread that issued it
  std::function<void()> run;
};

struct Block {
  Extent grid, extent;
  Index index;
  Options how;
  std::function<void()> kernel;
  std::vector<Thread> threads;
  std::vector<Warp> warps;
  std::vector<Warpgroup> warpgroups;
  Barrier barrier;
  std::unordered_map<const void*, PhaseBarrier> phase_barriers;
  std::vector<Operation> under_way;
  Fiber scheduler;
  Thread* running = nullptr;
  std::deque<unsigned> ready;
  std::size_t alive = 0;
  std::string error;
  std::mt19937_64 random;
  char* shared = nullptr;
  std::size_t shared_bytes = 0;
  std::vector<void*> kept;    // freed with the launch, so that ThreadSanitizer sees no address used twice
  char* tokens = nullptr;     // of even and odd phases of the block's barrier, then of each warp's
  char begun = 0, ended = 0;  // tokens of the launch

  // A separate token for each phase: a thread that leaves a barrier late must not be ordered after what others did on
  // their way to the next one.
  char* barrier_token() const { return tokens + barrier.phase % 2; }
  char* warp_token(std::size_t warp) const { return tokens + 2 + 2 * warp + warps[warp].synchronized % 2; }
  std::size_t token_count() const { return 2 + 2 * warps.size(); }
};
inline thread_local Block* block = nullptr;

EMULATOR_UNSEEN inline Thread& self() { return *block->running; }

[[noreturn]] inline void fail(const std::string& message) { throw Error(message); }

inline void wake(Thread& thread) {
  thread.state = Thread::State::ready;
  block->ready.push_back(thread.number);
}

inline void wait_here(Site site) {
  Thread& thread = self();
  thread.state = Thread::State::blocked;
  thread.waits_at = site;
  switch_fibers(thread.fiber, block->scheduler);
  if (!block->error.empty()) fail(block->error);
}

// __syncthreads
inline void synchronize_block(Site site) {
  const Bookkeeping own;
  Barrier& barrier = block->barrier;
  if (barrier.arrived == 0)
    barrier.site = site;
  else if (!(barrier.site == site))
    fail("divergent barrier: one thread at " + barrier.site.text() + ", another at " + site.text());
  if (block->alive < block->threads.size())
    fail("__syncthreads() after a thread of the block has left, at " + site.text());
  char* const token = block->barrier_token();
  release(token);
  if (++barrier.arrived == block->threads.size()) {
    for (Thread* thread : barrier.waiting) wake(*thread);
    barrier.waiting.clear();
    barrier.arrived = 0;
    barrier.phase++;
  } else {
    barrier.waiting.push_back(&self());
    wait_here(site);
  }
  acquire(token);
}

// Every lane of the mask stores its operands; the last one computes the results of all lanes and wakes the others.
template <class Compute>
void warp_operation(const char* operation, unsigned mask, std::uint64_t* operands, int count, Site site,
                    Compute compute) {
  const Bookkeeping own;
  Thread& thread = self();
  Warp& warp = block->warps[thread.warp];
  if (!(mask >> thread.lane & 1)) fail("a lane is not in its own mask at " + site.text());
  if (warp.arrived == 0) {
    warp.mask = mask;
    warp.site = site;
    warp.operation = operation;
  } else if (warp.mask != mask || warp.operation != operation || !(warp.site == site)) {
    fail("divergent warp: " + std::string(warp.operation) + " at " + warp.site.text() + " and " + operation + " at " +
         site.text());
  }
  for (int i = 0; i < count; i++) warp.operands[thread.lane][i] = operands[i];
  warp.arrived |= 1u << thread.lane;
  if (warp.arrived == mask) {
    compute(warp.operands);
    warp.arrived = 0;
    for (unsigned lane = 0; lane < 32; lane++)
      if ((mask >> lane & 1) && lane != thread.lane) wake(block->threads[thread.warp * 32 + lane]);
  } else {
    wait_here(site);
  }
  for (int i = 0; i < count; i++) operands[i] = warp.operands[thread.lane][i];
}

}  // namespace emulator
