// One progress count for several walks.
#pragma once

#include <algorithm>

#include "engine/instructions/simd.hpp"
#include "support/monitor.hpp"

namespace gramless {
inline namespace GRAMLESS_ISA {

// One progress count for several walks of about the same length.
class JoinedProgress {
 public:
  JoinedProgress(const Monitor& outer, std::int64_t count) : outer_(outer), count_(count) {}
  Monitor next() {
    done_++;
    return {outer_.report ? report : nullptr, this, outer_.clock};
  }

 private:
  static constexpr std::int64_t steps = 1000;
  static void report(void* self, std::int64_t done, std::int64_t total) {
    const JoinedProgress& progress = *static_cast<const JoinedProgress*>(self);
    const std::int64_t before = std::min(progress.done_, progress.count_) - 1;
    progress.outer_.report(progress.outer_.context, before * steps + done * steps / total, progress.count_ * steps);
  }
  const Monitor& outer_;
  const std::int64_t count_;
  std::int64_t done_ = 0;
};

}  // namespace GRAMLESS_ISA
}  // namespace gramless
