// Cuts an operation's scratch into pieces: measured first with no memory, then laid out for real.
#pragma once

#include <cstddef>
#include <cstdint>

namespace gramless::cuda {

class DeviceLayout {
 public:
  explicit DeviceLayout(void* memory = nullptr) : memory_(static_cast<char*>(memory)) {}

  template <class T>
  T* take(std::int64_t count) {
    T* const piece = memory_ ? reinterpret_cast<T*>(memory_ + used_) : nullptr;
    used_ += (static_cast<std::size_t>(count) * sizeof(T) + 255) / 256 * 256;
    return piece;
  }
  std::size_t bytes() const { return used_; }

 private:
  char* memory_;
  std::size_t used_ = 0;
};

constexpr std::int64_t blocks_of(std::int64_t rows, std::int64_t size) { return (rows + size - 1) / size; }

}  // namespace gramless::cuda
