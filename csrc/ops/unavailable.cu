// Operations of cuda_ops.hpp that have no kernels yet: they say so. Weak, so that an operation that comes takes its
// place; its lines here then go.
#include "ops/cuda_ops.hpp"

namespace gramless::cuda {

__attribute__((weak)) std::size_t hsic_grad_scratch_bytes(const HsicGradTask&) { return 0; }
__attribute__((weak)) const char* hsic_grad(const HsicGradTask&, void*, void*) {
  return "the gradient has no CUDA kernel yet; copy the inputs to the CPU, by .cpu() or .get()";
}

}  // namespace gramless::cuda
