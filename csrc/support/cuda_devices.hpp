// The CUDA devices of this machine, for the bindings of the CUDA half. A plain header: the runtime stays in
// cuda_devices.cu.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace gramless {

struct CudaDevice {
  std::string name;
  int major = 0, minor = 0;  // compute capability
  std::int64_t memory_bytes = 0;
};

struct CudaDevices {
  int driver = 0, runtime = 0;  // 1000 major + 10 minor; driver 0: there is none
  std::vector<CudaDevice> devices;
  std::string error;  // the runtime's message where it could not list the devices
};

CudaDevices cuda_devices();

// Makes a device the current one of this thread during its lifetime, and restores the previous one.
class CurrentDevice {
 public:
  explicit CurrentDevice(int device);
  ~CurrentDevice();
  CurrentDevice(const CurrentDevice&) = delete;
  CurrentDevice& operator=(const CurrentDevice&) = delete;

 private:
  int before_ = 0, device_;
};

}  // namespace gramless
