// Calls of the CUDA runtime by the primitives of real devices, counted by a runtime that does nothing
// (counting_runtime.cpp). It is compiled by nvcc and needs no device.
#include <cstdio>

#include "engine/instructions/primitives_hopper.cuh"

extern "C" int counted_calls(const char* name);
extern "C" void set_next_error(int error);
extern "C" void set_device(int device);

namespace {

using namespace gramless::cuda;

int failures = 0;

void check(bool holds, const char* claim) {
  if (holds) return;
  std::printf("does not hold: %s\n", claim);
  failures++;
}

__global__ void first_kernel(int* number) { *number = 1; }
__global__ void second_kernel(int* number) { *number = 2; }

void kernels_are_looked_up_once_for_each_device() {
  for (int call = 0; call < 5; call++) check(code_version<first_kernel>() == 90, "the version of the code");
  check(counted_calls("cudaFuncGetAttributes") == 1, "a kernel is looked up once");
  code_version<second_kernel>();
  check(counted_calls("cudaFuncGetAttributes") == 2, "each kernel by itself");
  set_device(1);
  for (int call = 0; call < 5; call++) code_version<first_kernel>();
  check(counted_calls("cudaFuncGetAttributes") == 3, "and once for another device");
  set_device(2);
  set_next_error(100);
  check(code_version<first_kernel>() == 0, "unknown where the lookup fails");
  check(code_version<first_kernel>() == 90, "which is not kept");
  set_device(0);
}

void the_function_of_the_driver_is_looked_up_once() {
  alignas(64) static unsigned short rows[64 * 64];
  for (int call = 0; call < 5; call++) {
    TensorMap map;
    check(map_rows(map, rows, 64, 64, 64) == nullptr, "rows are mapped");
  }
  check(counted_calls("cudaGetDriverEntryPointByVersion") == 1, "the driver's function is looked up once");
  check(counted_calls("encode") == 5, "and called each time");
}

void a_launch_returns_its_own_error_alone() {
  const int before = counted_calls("cudaGetLastError");
  int* const number = nullptr;
  check(launch(first_kernel, {1}, 32, 0, nullptr, number) == nullptr, "a launch");
  check(counted_calls("cudaGetLastError") == before, "the errors of others are left alone");
  set_next_error(9);
  check(launch(first_kernel, {1}, 32, 0, nullptr, number) != nullptr, "a launch that fails says so");
  check(counted_calls("cudaGetLastError") == before + 1, "its own error is cleared");
  check(launch(first_kernel, {1}, 32, 0, nullptr, number) == nullptr, "the launch after it");
  check(counted_calls("cudaLaunchKernelExC") == 3, "one call of the runtime for each launch");
}

}  // namespace

int main() {
  kernels_are_looked_up_once_for_each_device();
  the_function_of_the_driver_is_looked_up_once();
  a_launch_returns_its_own_error_alone();
  std::printf("%d claims that do not hold\n", failures);
  return failures > 0;
}
