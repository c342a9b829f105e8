// Marks functions shared between code compiled for every CPU and code compiled for one ISA. Without it the linker could
// keep the ISA's out-of-line copy for all callers, and an older CPU would execute instructions it does not have.
#pragma once

#define GRAMLESS_SHARED inline __attribute__((always_inline))

// Marks formulas that kernels on both sides share.
#if defined(__CUDACC__)
#define GRAMLESS_HD __host__ __device__ __forceinline__
#else
#define GRAMLESS_HD GRAMLESS_SHARED
#endif
