// The primitives of compute capability 9.0 as PTX. Their emulated twins: tests/cuda_emulator/primitives_hopper.hpp.
#pragma once

#include <cuda.h>
#include <cudaTypedefs.h>

#include <atomic>

namespace gramless::cuda {

// Whether the code being compiled may contain these instructions: only code for 9.0a, for no older and no newer device.
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
constexpr bool compiled_for_hopper = true;
#else
constexpr bool compiled_for_hopper = false;
#endif

// Ends the kernel with an error.
__device__ __forceinline__ void trap() { asm volatile("trap;"); }

// The compute capability that a kernel's code for the current device was compiled for: 90 for 9.0; 0 where it is
// unknown. Queried once for each device.
template <auto Kernel>
int code_version() {
  constexpr int most = 32, unknown = -1;
  static std::atomic<int> versions[most];  // version - `unknown`, so that 0 means not queried yet
  const int device = current_device();
  const bool kept = device >= 0 && device < most;
  const int known = kept ? versions[device].load(std::memory_order_relaxed) + unknown : unknown;
  if (known != unknown) return known;
  cudaFuncAttributes attributes;
  const bool asked = error_text(cudaFuncGetAttributes(&attributes, Kernel)) == nullptr;
  const int found = asked ? attributes.ptxVersion : 0;
  if (kept && asked) versions[device].store(found - unknown, std::memory_order_relaxed);
  return found;
}

using TensorMap = CUtensorMap;

// The driver's function that encodes tensor maps, or an error message.
struct MapEncoder {
  PFN_cuTensorMapEncodeTiled_v12000 encode = nullptr;
  const char* error = nullptr;

  MapEncoder() {
    void* entry = nullptr;
    cudaDriverEntryPointQueryResult found;
    error = error_text(
        cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &entry, 12000, cudaEnableDefault, &found));
    if (error != nullptr) return;
    if (found == cudaDriverEntryPointSuccess)
      encode = reinterpret_cast<PFN_cuTensorMapEncodeTiled_v12000>(entry);
    else
      error = "the driver cannot encode tensor maps";
  }
};

// A map of `height` contiguous rows of 16-bit numbers, from which boxes of `box_rows` rows are copied. Elements outside
// are 0.
inline const char* map_rows(TensorMap& map, const void* rows, std::int64_t width, std::int64_t height, int box_rows) {
  static const MapEncoder driver;  // looked up once
  if (driver.error != nullptr) return driver.error;
  const cuuint64_t extent[] = {static_cast<cuuint64_t>(width), static_cast<cuuint64_t>(height)};
  const cuuint64_t stride[] = {static_cast<cuuint64_t>(2 * width)};
  const cuuint32_t box[] = {box_width, static_cast<cuuint32_t>(box_rows)}, step[] = {1, 1};
  const CUresult result = driver.encode(&map, CU_TENSOR_MAP_DATA_TYPE_UINT16, 2, const_cast<void*>(rows), extent,
                                        stride, box, step, CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
                                        CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  return result == CUDA_SUCCESS ? nullptr : "the driver refuses to map packed rows";
}

__device__ __forceinline__ void initialize_barrier(Barrier& barrier, int arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(&barrier)), "r"(arrivals) : "memory");
}
// Makes the barriers that this thread has initialized visible to copies; other threads see them only after
// __syncthreads().
__device__ __forceinline__ void publish_barriers() {
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}
__device__ __forceinline__ void arrive(Barrier& barrier) {
  asm volatile("mbarrier.arrive.release.cta.shared::cta.b64 _, [%0];" ::"r"(shared_address(&barrier)) : "memory");
}
__device__ __forceinline__ void arrive_expecting(Barrier& barrier, int bytes) {
  asm volatile("mbarrier.arrive.expect_tx.release.cta.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(&barrier)),
               "r"(bytes)
               : "memory");
}
__device__ __forceinline__ void wait_for_phase(Barrier& barrier, unsigned parity) {
  int ended;
  do
    asm volatile(
        "{\n.reg .pred ended;\nmbarrier.try_wait.parity.acquire.cta.shared::cta.b64 ended, [%1], %2;\n"
        "selp.b32 %0, 1, 0, ended;\n}"
        : "=r"(ended)
        : "r"(shared_address(&barrier)), "r"(parity)
        : "memory");
  while (!ended);
}

// Copies the box whose first element is (row, col) into shared memory; the barrier counts its bytes, those outside the
// map included.
__device__ __forceinline__ void copy_box(void* to, const TensorMap& map, int row, int col, Barrier& landed) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3}], [%4];" ::
          "r"(shared_address(to)),
      "l"(&map), "r"(col), "r"(row), "r"(shared_address(&landed))
      : "memory");
}

// Orders this thread's register writes before the products that follow.
__device__ __forceinline__ void fence_products() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
__device__ __forceinline__ void commit_products() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
// Waits until at most Groups of the warpgroup's groups of products are unfinished; after 0 the sums may be used.
template <int Groups, int Count>
__device__ __forceinline__ void wait_for_products(float (&sums)[Count]) {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(Groups) : "memory");
#pragma unroll
  for (float& sum : sums) asm volatile("" : "+f"(sum)::"memory");  // the compiler must not read them earlier
}

// D (64, 128) = A (64, 16) B (16, 128), added to D where `add`: D and the factors, then `trailing` immediates of the
// instruction. GRAMLESS_SUMS: D, the first 64 of the operands.
#define GRAMLESS_SUMS                                                                                         \
  "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]), "+f"(d[4]), "+f"(d[5]), "+f"(d[6]), "+f"(d[7]), "+f"(d[8]), \
      "+f"(d[9]), "+f"(d[10]), "+f"(d[11]), "+f"(d[12]), "+f"(d[13]), "+f"(d[14]), "+f"(d[15]), "+f"(d[16]),  \
      "+f"(d[17]), "+f"(d[18]), "+f"(d[19]), "+f"(d[20]), "+f"(d[21]), "+f"(d[22]), "+f"(d[23]), "+f"(d[24]), \
      "+f"(d[25]), "+f"(d[26]), "+f"(d[27]), "+f"(d[28]), "+f"(d[29]), "+f"(d[30]), "+f"(d[31]), "+f"(d[32]), \
      "+f"(d[33]), "+f"(d[34]), "+f"(d[35]), "+f"(d[36]), "+f"(d[37]), "+f"(d[38]), "+f"(d[39]), "+f"(d[40]), \
      "+f"(d[41]), "+f"(d[42]), "+f"(d[43]), "+f"(d[44]), "+f"(d[45]), "+f"(d[46]), "+f"(d[47]), "+f"(d[48]), \
      "+f"(d[49]), "+f"(d[50]), "+f"(d[51]), "+f"(d[52]), "+f"(d[53]), "+f"(d[54]), "+f"(d[55]), "+f"(d[56]), \
      "+f"(d[57]), "+f"(d[58]), "+f"(d[59]), "+f"(d[60]), "+f"(d[61]), "+f"(d[62]), "+f"(d[63])
#define GRAMLESS_MULTIPLY(type, factors, add_at, trailing, ...)                                                        \
  asm volatile(                                                                                                        \
      "{\n.reg .pred add;\nsetp.ne.b32 add, " add_at                                                                   \
      ", 0;\n"                                                                                                         \
      "wgmma.mma_async.sync.aligned.m64n128k16.f32." type "." type                                                     \
      " {%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, "    \
      "%23, %24, %25, %26, %27, %28, %29, %30, %31, %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, " \
      "%45, %46, %47, %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63}, " factors       \
      ", add, " trailing ";\n}"                                                                                        \
      : GRAMLESS_SUMS                                                                                                  \
      : __VA_ARGS__, "r"(static_cast<int>(add))                                                                        \
      : "memory")

// Both factors are in shared memory; the descriptors a and b give the place of the rows of A and of the columns of B.
__device__ __forceinline__ void multiply_boxes_bfloat(float (&d)[64], std::uint64_t a, std::uint64_t b, bool add) {
  GRAMLESS_MULTIPLY("bf16", "%64, %65", "%66", "1, 1, 0, 0", "l"(a), "l"(b));
}
__device__ __forceinline__ void multiply_boxes_half(float (&d)[64], std::uint64_t a, std::uint64_t b, bool add) {
  GRAMLESS_MULTIPLY("f16", "%64, %65", "%66", "1, 1, 0, 0", "l"(a), "l"(b));
}

// A is in registers, 16 rows for each warp as in a product of one warp; the descriptor b gives the place of the rows of
// B. A must not change until the product has been waited for.
#define GRAMLESS_MULTIPLY_FRAGMENT(type)                                                                             \
  GRAMLESS_MULTIPLY(type, "{%64, %65, %66, %67}, %68", "%69", "1, 1, 1", "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), \
                    "l"(b))
__device__ __forceinline__ void multiply_fragment_bfloat(float (&d)[64], const std::uint32_t (&a)[4], std::uint64_t b,
                                                         bool add) {
  GRAMLESS_MULTIPLY_FRAGMENT("bf16");
}
__device__ __forceinline__ void multiply_fragment_half(float (&d)[64], const std::uint32_t (&a)[4], std::uint64_t b,
                                                       bool add) {
  GRAMLESS_MULTIPLY_FRAGMENT("f16");
}
#undef GRAMLESS_MULTIPLY_FRAGMENT
#undef GRAMLESS_MULTIPLY
#undef GRAMLESS_SUMS

// Sets the number of registers of each of this warpgroup's threads from here on; every thread of it must call this.
template <int Count>
__device__ __forceinline__ void release_registers() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(Count));
}
template <int Count>
__device__ __forceinline__ void take_registers() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(Count));
}

}  // namespace gramless::cuda
