// The extension module gramless._core: a list of what is bound, one file per concept.
#include <pybind11/pybind11.h>

#include "bindings/python_types.hpp"
#include "bindings/sigmoid.hpp"

// Free-threaded Python is supported: no Python object is global, and data that threads share in the core is atomic or
// behind a lock.
PYBIND11_MODULE(_core, module, pybind11::mod_gil_not_used()) {
  module.doc() = "Compiled core of gramless. Not a public interface: use the functions of the package.";
  module.attr("__version__") = GRAMLESS_VERSION;
  gramless::bind_stacked_rows(module);
  gramless::bind_hsic(module);
  gramless::bind_sweep(module);
  gramless::bind_contrast(module);
  gramless::bind_distillation(module);
  gramless::bind_sigmoid(module);
  gramless::bind_neighbors(module);
  gramless::bind_backends(module);
}
