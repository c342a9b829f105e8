// Who is told how far a long loop has come, and may stop it. Only the thread that started the loop tells.
#pragma once

#include <cstdint>

namespace gramless {

struct Monitor {
  // May throw: the loop then ends on all threads and the exception leaves from the call that started it.
  void (*report)(void* context, std::int64_t done, std::int64_t total) = nullptr;
  void* context = nullptr;
};

}  // namespace gramless
