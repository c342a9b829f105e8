// Conversions of a launch's arguments from Python for the CUDA half. User input is checked in Python; the checks here
// are assertions.
#pragma once

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstdint>
#include <tuple>

#include "bindings/api_types.hpp"
#include "bindings/gil.hpp"
#include "support/cuda_devices.hpp"

namespace gramless {

namespace py = pybind11;

// The address of device memory, or 0.
using Address = std::uintptr_t;

template <class Value = void>
Value* pointer(Address address) {
  return reinterpret_cast<Value*>(address);
}

// Where to launch: (device, stream, allocate). `allocate` is a callable of a number of bytes that returns an address;
// its memory stays valid until the work enqueued so far is done.
class Launch {
 public:
  explicit Launch(const py::tuple& place)
      : device_(place[0].cast<int>()), stream_(pointer(place[1].cast<Address>())), allocate_(place[2]) {}

  // Runs an operation of ops/api.hpp; raises RuntimeError with its error message.
  template <class Task>
  void run(std::size_t (*scratch_bytes)(const Task&), const char* (*enqueue)(const Task&, void*, void*),
           const Task& task) const {
    const CurrentDevice current(device_);
    const std::size_t bytes = scratch_bytes(task);
    const auto allocate = [&] { return allocate_(bytes).template cast<Address>(); };
    void* scratch = bytes == 0 ? nullptr : pointer(entering_python(allocate));
    const char* wrong = nullptr;
    {
      const Unlocked unlocked;
      wrong = enqueue(task, scratch, stream_);
    }
    if (wrong) throw std::runtime_error(wrong);
  }

 private:
  int device_;
  void* stream_;
  py::object allocate_;
};

void bind_hsic_cuda(py::module_& module);
void bind_contrast_cuda(py::module_& module);
void bind_distillation_cuda(py::module_& module);

}  // namespace gramless
