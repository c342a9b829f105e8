// Large memory that one call leaves for the next, which mostly needs it again: fresh pages cost more than filling them.
#pragma once

#include <cstddef>

#include "support/aligned_buffer.hpp"

namespace gramless {

// How many bytes a call may take beyond what it needs, where that makes it faster; 0: none.
std::size_t workspace_limit();
void set_workspace_limit(std::size_t bytes);

// The largest returned allocation is kept for the next call, up to the limit.
class Workspace {
 public:
  enum class BeyondLimit { none, fresh };  // what an allocation above the limit gets

  Workspace() = default;
  explicit Workspace(std::size_t bytes, BeyondLimit beyond = BeyondLimit::none);
  Workspace(Workspace&& other) noexcept { *this = std::move(other); }
  Workspace& operator=(Workspace&& other) noexcept;
  ~Workspace();

  char* data() const { return buffer_.data(); }

 private:
  AlignedBuffer buffer_;
  std::size_t bytes_ = 0;
};

}  // namespace gramless
