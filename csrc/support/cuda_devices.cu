// Devices as the CUDA runtime knows them. The runtime opens the driver's library itself, at its first call.
#include "support/cuda_devices.hpp"

#include <cuda_runtime.h>

#include <stdexcept>

namespace gramless {

CudaDevices cuda_devices() {
  CudaDevices found;
  cudaDriverGetVersion(&found.driver);
  cudaRuntimeGetVersion(&found.runtime);
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error != cudaSuccess) {
    found.error = cudaGetErrorString(error);
    cudaGetLastError();  // cleared, so that other libraries do not find it
    return found;
  }
  for (int device = 0; device < count; device++) {
    cudaDeviceProp properties;
    if (cudaGetDeviceProperties(&properties, device) != cudaSuccess) continue;
    found.devices.push_back(
        {properties.name, properties.major, properties.minor, static_cast<std::int64_t>(properties.totalGlobalMem)});
  }
  return found;
}

CurrentDevice::CurrentDevice(int device) : device_(device) {
  cudaError_t error = cudaGetDevice(&before_);
  if (error == cudaSuccess && before_ != device) error = cudaSetDevice(device);
  if (error != cudaSuccess) throw std::runtime_error(cudaGetErrorString(error));
}

CurrentDevice::~CurrentDevice() {
  if (before_ != device_) cudaSetDevice(before_);
}

}  // namespace gramless
