// Arrays of a task as the CPU core reads and writes them.
#pragma once

#include <bit>
#include <cstring>
#include <vector>

#include "ops/api.hpp"
#include "ops/dispatch/op_table.hpp"
#include "support/dtype.hpp"
#include "support/thread_pool.hpp"

namespace gramless::cuda {

// The properties of scratch memory that kernels rely on.
inline const char* error_in_scratch(const void* scratch) {
  return reinterpret_cast<std::uintptr_t>(scratch) % 256 == 0 && scratch ? nullptr
                                                                         : "scratch must be aligned to 256 bytes";
}

inline std::int64_t bytes_of(Dtype dtype) { return dtype == Dtype::float64 ? 8 : dtype == Dtype::float32 ? 4 : 2; }

inline ArrayView view(const Matrix& matrix) { return {matrix}; }

inline Execution execution(const Matrix& matrix) {
  return {computes_in_float64(matrix.dtype) ? Compute::float64 : Compute::float32, num_threads(), {}};
}

// Gradients are computed in the compute type and rounded to the input's.
struct Gradient {
  const Matrix& like;
  void* target;
  std::vector<double> wide = std::vector<double>(static_cast<std::size_t>(like.rows * like.cols));

  void* buffer() { return target ? wide.data() : nullptr; }

  void store() const {
    if (!target) return;
    const auto* narrow = reinterpret_cast<const float*>(wide.data());
    if (bytes_of(like.dtype) >= 4) {
      std::memcpy(target, wide.data(), wide.size() * static_cast<std::size_t>(bytes_of(like.dtype)));
    } else {
      for (std::size_t i = 0; i < wide.size(); i++) store_16_bits(static_cast<char*>(target) + 2 * i, narrow[i]);
    }
  }

  void store_16_bits(char* address, float value) const {
    if (like.dtype == Dtype::float16) {
      const auto half = static_cast<_Float16>(value);
      std::memcpy(address, &half, 2);
    } else {
      const auto bits = std::bit_cast<std::uint32_t>(value);
      const auto rounded = static_cast<std::uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
      std::memcpy(address, &rounded, 2);
    }
  }
};

}  // namespace gramless::cuda
