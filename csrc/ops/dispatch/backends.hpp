// The ISAs this library was built for, and the one in use.
#pragma once

#include <string>
#include <vector>

#include "ops/dispatch/op_table.hpp"

namespace gramless {

struct Backend {
  const OpTable* ops;
  bool supported;  // by this CPU
};

const std::vector<Backend>& backends();     // best first
const OpTable& current_backend();           // GRAMLESS_BACKEND, else the best supported
void set_backend(const std::string& name);  // "" restores the default; throws std::invalid_argument

}  // namespace gramless
