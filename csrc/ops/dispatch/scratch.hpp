// Cuts one block of memory into the pieces an operation needs; measured first with no memory, then laid out for real.
#pragma once

#include <cstddef>
#include <cstdint>

#include "engine/product/dot_tile.hpp"

namespace gramless {
inline namespace GRAMLESS_ISA {

class Layout {
 public:
  explicit Layout(char* memory = nullptr) : memory_(memory) {}

  template <class T>
  T* take(std::int64_t count) {
    T* piece = reinterpret_cast<T*>(memory_ + used_);
    used_ += (static_cast<std::size_t>(count) * sizeof(T) + 63) / 64 * 64;
    return piece;
  }
  std::size_t bytes() const { return used_; }

 private:
  char* memory_;
  std::size_t used_ = 0;
};

constexpr std::int64_t kept_rows_bytes = 16 << 20;   // per thread: beyond it rows are packed anew for every tile
constexpr std::int64_t near_rows_bytes = 512 << 10;  // kept rows beyond it leave the L2 cache between two tiles

}  // namespace GRAMLESS_ISA
}  // namespace gramless
