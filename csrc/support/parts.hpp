// A walk cut into parts: runs of neighbouring tasks that are summed separately and added up in order, so that results
// are bitwise the same whichever process sums a part, and when.
#pragma once

#include <cstdint>

#include "support/shared.hpp"

namespace gramless {

struct Parts {
  std::int64_t count = 1;           // of the whole walk
  std::int64_t first = 0, end = 1;  // those wanted

  GRAMLESS_SHARED std::int64_t begin(std::int64_t part, std::int64_t tasks) const { return tasks * part / count; }
  GRAMLESS_SHARED bool end_with(std::int64_t task, std::int64_t tasks) const {
    const std::int64_t next = task + 1;
    return begin((next * count + tasks - 1) / tasks, tasks) == next;
  }
};

}  // namespace gramless
