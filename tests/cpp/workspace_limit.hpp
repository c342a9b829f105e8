#pragma once

#include "support/workspace.hpp"

namespace gramless {

// Sets the limit of the workspace for as long as it lives.
class Limit {
 public:
  explicit Limit(std::size_t bytes) : before_(workspace_limit()) { set_workspace_limit(bytes); }
  ~Limit() { set_workspace_limit(before_); }

 private:
  std::size_t before_;
};

}  // namespace gramless
