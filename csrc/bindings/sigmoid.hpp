// The sigmoid loss for Python.
#pragma once

#include <pybind11/pybind11.h>

namespace gramless {

void bind_sigmoid(pybind11::module_& module);

}  // namespace gramless
