// The callback that receives the progress of a long loop and may stop it. Only the thread that started the loop calls
// it.
#pragma once

#include <chrono>
#include <cstdint>

namespace gramless {

// The time of a call's next report. All loops of a call share one, so that many short loops report as often as a long
// one.
class ReportClock {
 public:
  static constexpr auto interval = std::chrono::milliseconds(50);

  bool due() {
    const auto now = std::chrono::steady_clock::now();
    if (now < next_) return false;
    next_ = now + interval;
    return true;
  }

 private:
  std::chrono::steady_clock::time_point next_ = std::chrono::steady_clock::now() + interval;
};

struct Monitor {
  // May throw: the loop then ends on all threads and the exception leaves from the call that started it.
  void (*report)(void* context, std::int64_t done, std::int64_t total) = nullptr;
  void* context = nullptr;
  ReportClock* clock = nullptr;  // that of the call; null: the loop has its own
};

}  // namespace gramless
