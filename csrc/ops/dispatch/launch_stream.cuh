// Launches on one stream, one after the other; after a failure nothing more is launched.
#pragma once

#include "engine/instructions/primitives.cuh"

namespace gramless::cuda {

class LaunchStream {
 public:
  explicit LaunchStream(void* stream) : stream_(stream) {}

  template <class... Parameters, class... Arguments>
  void launch(void (*kernel)(Parameters...), Grid grid, int threads, std::size_t shared_bytes, Arguments... arguments) {
    if (error_ == nullptr) error_ = cuda::launch(kernel, grid, threads, shared_bytes, stream_, arguments...);
  }
  void clear(void* address, std::size_t bytes) {
    if (error_ == nullptr) error_ = fill_bytes(address, 0, bytes, stream_);
  }
  // The first error message, or null.
  void note(const char* error) {
    if (error_ == nullptr) error_ = error;
  }

  const char* error() const { return error_; }

 private:
  void* stream_;
  const char* error_ = nullptr;
};

}  // namespace gramless::cuda
