// Backends and threads for Python.
#include "ops/dispatch/backends.hpp"

#include "bindings/python_types.hpp"
#include "support/thread_pool.hpp"
#include "support/workspace.hpp"

namespace gramless {

void bind_backends(py::module_& module) {
  module.def("backends", [] {
    py::list rows;
    for (const Backend& backend : backends())
      rows.append(py::make_tuple(backend.ops->name, backend.supported, backend.ops == &current_backend()));
    return rows;
  });
  module.def("set_backend", &set_backend);
  module.def("num_threads", &num_threads);
  module.def("set_num_threads", &set_num_threads);
  module.def("workspace_limit", &workspace_limit);
  module.def("set_workspace_limit", &set_workspace_limit);
}

}  // namespace gramless
