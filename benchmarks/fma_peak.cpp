// The most fused multiply-adds this machine does per second: independent chains in registers, no memory.
// Compiled once per ISA by peak.py, with the flags the library's own tile operations have.
#include <chrono>
#include <thread>
#include <vector>

#if defined(__AVX512F__)
constexpr int width = 64;
constexpr int chains = 24;
#elif defined(__AVX2__)
constexpr int width = 32;
constexpr int chains = 12;
#else
constexpr int width = 16;
constexpr int chains = 12;
#endif

typedef float Vector __attribute__((vector_size(width)));

static float run(double seconds, double* flops_per_second) {
  Vector sums[chains] = {};
  Vector a = Vector{} + 0.999f, b = Vector{} + 1e-3f;
  const auto start = std::chrono::steady_clock::now();
  double elapsed = 0, flops = 0;
  while (elapsed < seconds) {
    for (int repeat = 0; repeat < 20000; ++repeat) {
#pragma GCC unroll 24
      for (int i = 0; i < chains; ++i) sums[i] = sums[i] * a + b;
      asm volatile("" : "+x"(a), "+x"(b));  // no iteration may be merged with the next
    }
    flops += 20000.0 * chains * (width / 4) * 2;
    elapsed = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }
  *flops_per_second = flops / elapsed;
  float total = 0;
  for (const Vector& sum : sums) total += sum[0];
  return total;
}

extern "C" double fma_peak(int threads, double seconds) {
  std::vector<double> rates(threads);
  std::vector<float> kept(threads);
  std::vector<std::thread> workers;
  for (int t = 0; t < threads; ++t) workers.emplace_back([&, t] { kept[t] = run(seconds, &rates[t]); });
  for (std::thread& worker : workers) worker.join();
  double total = 0;
  for (double rate : rates) total += rate;
  return total;
}
