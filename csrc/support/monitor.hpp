// The callback that is given the progress of a long loop and may stop it. Only the thread that started the loop calls
// it.
#pragma once

#include <cstdint>

namespace gramless {

struct Monitor {
  // May throw: the loop then ends on all threads and the exception leaves from the call that started it.
  void (*report)(void* context, std::int64_t done, std::int64_t total) = nullptr;
  void* context = nullptr;
};

}  // namespace gramless
