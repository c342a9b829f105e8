// Memory for kernels in the emulator: exactly the requested size, and not zero at first.
#pragma once

#include <cstdlib>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "check.hpp"
#include "engine/instructions/primitives.cuh"
#include "ops/api.hpp"

namespace gramless::cuda {

class DeviceMemory {
 public:
  explicit DeviceMemory(std::size_t bytes)
      : bytes_(bytes), data_(static_cast<char*>(std::aligned_alloc(256, padded()))) {
    std::memset(data_, 0xff, bytes);
#if defined(__SANITIZE_ADDRESS__)
    __asan_poison_memory_region(data_ + bytes_, padded() - bytes_);
#endif
  }
  ~DeviceMemory() {
    if (data_ == nullptr) return;
#if defined(__SANITIZE_ADDRESS__)
    __asan_unpoison_memory_region(data_, padded());
#endif
    std::free(data_);
  }
  DeviceMemory(DeviceMemory&& other) noexcept : bytes_(other.bytes_), data_(std::exchange(other.data_, nullptr)) {}
  DeviceMemory& operator=(DeviceMemory&& other) noexcept {
    std::swap(bytes_, other.bytes_);
    std::swap(data_, other.data_);
    return *this;
  }

  template <class T>
  T* as() const {
    return reinterpret_cast<T*>(data_);
  }
  template <class T>
  std::vector<T> values() const {
    return {as<T>(), as<T>() + bytes_ / sizeof(T)};
  }

 private:
  std::size_t padded() const { return (bytes_ + 256) / 256 * 256; }

  std::size_t bytes_;
  char* data_;
};

// The six schedules of a kernel: which thread runs next, and whether asynchronous copies land early or late.
constexpr int schedules = 6;
inline void use_schedule(int number) {
  emulator::options.order = static_cast<emulator::Options::Order>(number % 3);
  emulator::options.late_copies = number < 3;
  emulator::options.seed = 11 + static_cast<std::uint64_t>(number);
}
// ThreadSanitizer finds a missing barrier in any schedule and is slow, so it runs one schedule, in float32.
// AddressSanitizer checks addresses, which are the same in all schedules, so it runs two.
#if defined(__SANITIZE_THREAD__)
constexpr bool in_all_schedules = false;
constexpr int chosen_schedules[] = {2};
#elif defined(__SANITIZE_ADDRESS__)
constexpr bool in_all_schedules = true;
constexpr int chosen_schedules[] = {0, schedules - 1};
#else
constexpr bool in_all_schedules = true;
constexpr int chosen_schedules[] = {0, 1, 2, 3, 4, 5};
#endif
// answer() must be the same in every schedule; in the first one it is returned.
template <class Answer>
auto same_in_every_schedule(Answer answer) {
  use_schedule(chosen_schedules[0]);
  const auto first = answer();
  for (const int number : chosen_schedules) {
    if (number == chosen_schedules[0]) continue;
    use_schedule(number);
    CHECK(answer() == first);
    if (check::failures > 0) break;
  }
  return first;
}

inline bool succeeded(const char* error) {
  if (error != nullptr) std::fprintf(stderr, "%s\n", error);
  return error == nullptr;
}

}  // namespace gramless::cuda
