// The operations that tests of whole ops run: those compiled for this test's width, and those of this CPU.
#pragma once

#include <vector>

#include "engine/instructions/simd.hpp"
#include "ops/dispatch/backends.hpp"

#define GRAMLESS_JOIN(a, b) a##b
#define GRAMLESS_TABLE(isa) GRAMLESS_JOIN(table_, isa)

namespace gramless {

extern const OpTable GRAMLESS_TABLE(GRAMLESS_ISA);

inline namespace GRAMLESS_ISA {

inline const OpTable& own_table() { return GRAMLESS_TABLE(GRAMLESS_ISA); }

// The table of this width, and every table that this CPU can run.
inline std::vector<const OpTable*> tables() {
  std::vector<const OpTable*> found{&own_table()};
  for (const Backend& backend : backends())
    if (backend.supported) found.push_back(backend.ops);
  return found;
}

}  // namespace GRAMLESS_ISA
}  // namespace gramless

#undef GRAMLESS_TABLE
#undef GRAMLESS_JOIN
