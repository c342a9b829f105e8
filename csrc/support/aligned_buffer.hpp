// Memory aligned for the widest vectors, uninitialised. Throws std::bad_alloc, so running out becomes a MemoryError.
// Always inlined: it is used by code compiled per ISA, whose out-of-line copies must not reach other CPUs.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <new>
#include <utility>

#include "support/shared.hpp"

namespace gramless {

class AlignedBuffer {
 public:
  AlignedBuffer() = default;
  GRAMLESS_SHARED explicit AlignedBuffer(std::size_t bytes) : data_(std::aligned_alloc(alignment, round_up(bytes))) {
    if (data_ == nullptr) throw std::bad_alloc();
  }
  GRAMLESS_SHARED AlignedBuffer(AlignedBuffer&& other) noexcept : data_(std::exchange(other.data_, nullptr)) {}
  GRAMLESS_SHARED AlignedBuffer& operator=(AlignedBuffer&& other) noexcept {
    std::swap(data_, other.data_);
    return *this;
  }
  GRAMLESS_SHARED ~AlignedBuffer() { std::free(data_); }

  GRAMLESS_SHARED char* data() const { return static_cast<char*>(data_); }

  static constexpr std::size_t alignment = 64;
  static constexpr std::size_t round_up(std::size_t bytes) {
    return (bytes + alignment) / alignment * alignment;  // never zero
  }

 private:
  void* data_ = nullptr;
};

}  // namespace gramless
