// fma_peak THREADS SECONDS: the most fused multiply-adds of this machine, float32, in GFLOP/s: per CPU time of each
// thread and by the clock, summed over threads. Independent chains in registers, no memory. peak.py compiles it.
#include <time.h>

#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

#if defined(__AVX512F__)
constexpr int width = 64;
#elif defined(__AVX2__)
constexpr int width = 32;
#else
constexpr int width = 16;
#endif
constexpr int chains = 12;

typedef float Vector __attribute__((vector_size(width)));

static double now(clockid_t clock) {
  timespec time;
  clock_gettime(clock, &time);
  return time.tv_sec + 1e-9 * time.tv_nsec;
}

struct Rates {
  double by_cpu = 0, by_clock = 0;  // FLOP/s
};

// Every multiply-add is written out, so that the compiler removes and merges none.
static Vector multiply_add(Vector sum, Vector a, Vector b) {
  sum = sum * a + b;
  asm volatile("" : "+x"(sum));
  return sum;
}

static Rates run(double seconds) {
  Vector sums[chains] = {};
  const Vector a = Vector{} + 0.9999f, b = Vector{} + 1e-6f;
  const double start = now(CLOCK_MONOTONIC), cpu_start = now(CLOCK_THREAD_CPUTIME_ID);
  double elapsed = 0, flops = 0;
  while (elapsed < seconds) {
    for (int repeat = 0; repeat < 20000; ++repeat) {
#pragma GCC unroll 12
      for (int i = 0; i < chains; ++i) sums[i] = multiply_add(sums[i], a, b);
    }
    flops += 20000.0 * chains * (width / 4) * 2;
    elapsed = now(CLOCK_MONOTONIC) - start;
  }
  return {flops / (now(CLOCK_THREAD_CPUTIME_ID) - cpu_start), flops / elapsed};
}

int main(int, char** arguments) {
  const int threads = std::atoi(arguments[1]);
  const double seconds = std::atof(arguments[2]);
  std::vector<Rates> rates(threads);
  std::vector<std::thread> workers;
  for (Rates& rate : rates) workers.emplace_back([&] { rate = run(seconds); });
  for (std::thread& worker : workers) worker.join();
  Rates total;
  for (const Rates& rate : rates) {
    total.by_cpu += rate.by_cpu;
    total.by_clock += rate.by_clock;
  }
  std::printf("%.2f %.2f\n", total.by_cpu / 1e9, total.by_clock / 1e9);
}
