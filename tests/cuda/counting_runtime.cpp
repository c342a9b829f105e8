// The functions of the CUDA runtime that counted_lookups.cu calls: they count their calls and do nothing. It includes
// no header of CUDA, whose declarations have other types.
#include <cstddef>
#include <map>
#include <string>

namespace {

std::map<std::string, int>& calls() {
  static std::map<std::string, int> counts;
  return counts;
}

int next_error = 0, current = 0;

int counted(const char* name) {
  calls()[name]++;
  const int error = next_error;
  next_error = 0;
  return error;
}

int encode(...) {
  calls()["encode"]++;
  return 0;
}

}  // namespace

extern "C" {

int counted_calls(const char* name) { return calls()[name]; }
void set_next_error(int error) { next_error = error; }
void set_device(int device) { current = device; }

int cudaGetDevice(int* device) {
  *device = current;
  return 0;
}
int cudaFuncGetAttributes(void* attributes, const void*) {
  constexpr int version = 90, ints = 10;  // up to ptxVersion and binaryVersion
  for (int i = 0; i < ints; i++) static_cast<int*>(attributes)[i] = version;
  return counted("cudaFuncGetAttributes");
}
int cudaGetDriverEntryPointByVersion(const char*, void** function, unsigned, unsigned long long, int* found) {
  *function = reinterpret_cast<void*>(&encode);
  *found = 0;
  return counted("cudaGetDriverEntryPointByVersion");
}
int cudaGetLastError() { return counted("cudaGetLastError"); }
const char* cudaGetErrorString(int) { return "an error"; }
int cudaLaunchKernelExC(const void*, const void*, void**) { return counted("cudaLaunchKernelExC"); }
int cudaFuncSetAttribute(const void*, int, int) { return counted("cudaFuncSetAttribute"); }
int cudaDeviceGetAttribute(int* value, int, int) {
  *value = 9;
  return 0;
}
int cudaMemsetAsync(void*, int, std::size_t, void*) { return counted("cudaMemsetAsync"); }

// The functions that nvcc's code calls in a program with kernels.
char __cudaInitModule(void**) { return 1; }
int __cudaGetKernel(void**, const void*) { return 0; }
int __cudaLaunchKernel(void*, ...) { return 0; }
int __cudaPopCallConfiguration(void*, void*, void*, void*) { return 0; }
void** __cudaRegisterFatBinary(void*) { return nullptr; }
void __cudaRegisterFatBinaryEnd(void**) {}
void __cudaRegisterFunction(void**, const char*, ...) {}
void __cudaUnregisterFatBinary(void**) {}
}
