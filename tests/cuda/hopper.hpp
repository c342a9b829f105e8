// For a test: a device of compute capability 9.0, with its kernels switched on or off.
#pragma once

#include <cstdlib>

#include "cuda_emulator/launch.hpp"

namespace gramless::cuda {

struct Hopper {
  explicit Hopper(const char* wanted = "1") {
    emulator::options.capability = 90;
    setenv("GRAMLESS_HOPPER", wanted, 1);
  }
  ~Hopper() {
    emulator::options.capability = 80;
    unsetenv("GRAMLESS_HOPPER");
  }
};

}  // namespace gramless::cuda
