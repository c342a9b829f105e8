// The device list of a machine without a GPU: one device, whose memory is that of the host.
#include "support/cuda_devices.hpp"

namespace gramless {

CudaDevices cuda_devices() { return {13000, 13000, {{"the host", 9, 0, 1 << 30}}, ""}; }

CurrentDevice::CurrentDevice(int device) : device_(device) {}
CurrentDevice::~CurrentDevice() {}

}  // namespace gramless
