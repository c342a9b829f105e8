// The extension module gramless._cuda: devices, and the functions of the other files *_cuda.cpp.
#include "bindings/types_cuda.hpp"

namespace gramless {
namespace {

// (driver, runtime, [(name, major, minor, bytes of memory, why it cannot compute or None)], error or "")
py::tuple devices() {
  const CudaDevices found = cuda_devices();
  py::list rows;
  for (int i = 0; i < static_cast<int>(found.devices.size()); i++) {
    const CudaDevice& device = found.devices[static_cast<std::size_t>(i)];
    rows.append(py::make_tuple(device.name, device.major, device.minor, device.memory_bytes, cuda::check_device(i)));
  }
  return py::make_tuple(found.driver, found.runtime, rows, found.error);
}

}  // namespace
}  // namespace gramless

PYBIND11_MODULE(GRAMLESS_CUDA_MODULE, module) {
  module.doc() = "CUDA operations of gramless. Not a public interface: use the functions of the package.";
  module.def("devices", gramless::devices);
  module.attr("architectures") = GRAMLESS_CUDA_ARCHITECTURES;  // those this build has code for, separated by spaces
  gramless::bind_hsic_cuda(module);
  gramless::bind_contrast_cuda(module);
  gramless::bind_distillation_cuda(module);
}
