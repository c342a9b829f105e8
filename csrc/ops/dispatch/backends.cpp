#include "ops/dispatch/backends.hpp"

#include <atomic>
#include <cstdlib>
#include <stdexcept>

#if defined(GRAMLESS_HAS_X86)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace gramless {

#if defined(GRAMLESS_HAS_X86)
extern const OpTable table_avx512, table_avx2;
#endif
#if defined(GRAMLESS_HAS_AMX)
extern const OpTable table_amx;
#endif
extern const OpTable table_baseline;

namespace {

#if defined(GRAMLESS_HAS_X86)
bool supports_avx512() {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("fma");
}

#if defined(GRAMLESS_HAS_AMX)
// On Linux a process must request the registers of the matrix unit.
bool supports_amx() {
#if defined(__linux__)
  constexpr unsigned bfloat16 = 1u << 22, registers = 1u << 24;
  unsigned a, b, c, features = 0;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &features) || (features & bfloat16) == 0 || (features & registers) == 0)
    return false;
  constexpr int request_permission = 0x1023, register_contents = 18;
  return syscall(SYS_arch_prctl, request_permission, register_contents) == 0;
#else
  return false;
#endif
}
#endif
#endif

std::vector<Backend> probe() {
  std::vector<Backend> found;
#if defined(GRAMLESS_HAS_X86)
  __builtin_cpu_init();
#if defined(GRAMLESS_HAS_AMX)
  found.push_back({&table_amx, supports_avx512() && supports_amx()});
#endif
  found.push_back({&table_avx512, supports_avx512()});
  found.push_back({&table_avx2, __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")});
#endif
  found.push_back({&table_baseline, true});
  return found;
}

const OpTable& named(const std::string& name, const std::string& asked_by) {
  std::string supported;
  for (const Backend& backend : backends()) {
    if (!backend.supported) continue;
    if (name.empty() || name == backend.ops->name) return *backend.ops;
    supported += supported.empty() ? "" : ", ";
    supported += backend.ops->name;
  }
  throw std::invalid_argument(asked_by + " is '" + name + "' but this CPU and build support " + supported);
}

std::atomic<const OpTable*> chosen{nullptr};

}  // namespace

const std::vector<Backend>& backends() {
  // Never destroyed: a daemon thread may still compute when the process ends.
  static const std::vector<Backend>& found = *new std::vector<Backend>(probe());
  return found;
}

const OpTable& current_backend() {
  if (const OpTable* table = chosen.load(std::memory_order_acquire)) return *table;
  const char* wanted = std::getenv("GRAMLESS_BACKEND");
  const OpTable& table = named(wanted ? wanted : "", "GRAMLESS_BACKEND");
  chosen.store(&table, std::memory_order_release);
  return table;
}

void set_backend(const std::string& name) {
  if (name.empty())
    chosen.store(nullptr, std::memory_order_release);
  else
    chosen.store(&named(name, "backend"), std::memory_order_release);
}

}  // namespace gramless
