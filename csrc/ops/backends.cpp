#include "ops/backends.hpp"

#include <atomic>
#include <cstdlib>
#include <stdexcept>

namespace gramless {

#if defined(GRAMLESS_HAS_X86)
extern const OpTable table_avx512, table_avx2;
#endif
extern const OpTable table_baseline;

namespace {

std::vector<Backend> probe() {
  std::vector<Backend> found;
#if defined(GRAMLESS_HAS_X86)
  __builtin_cpu_init();
  found.push_back({&table_avx512, __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                                      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw") &&
                                      __builtin_cpu_supports("fma")});
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
  static const std::vector<Backend> found = probe();
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
