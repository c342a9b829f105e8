// Epilogue of the contrastive losses: a dot product becomes a logit, and that its exponential.
#pragma once

#include "epilogues/exp.hpp"

namespace gramless {
inline namespace GRAMLESS_ISA {

// A product that the compiler does not fuse with an addition. The builtin of GCC 12 splits a vector of 64 bytes into
// lanes and joins them again; an empty asm statement that may change the product keeps it in its register. Shorter
// vectors have fewer registers, and the asm statement would spill them to the stack.
template <class T>
GRAMLESS_INLINE Vector<T> rounded(Vector<T> product) {
#if GRAMLESS_VECTOR_BYTES == 64 && defined(__AVX512F__)
  asm("" : "+v"(product));
  return product;
#elif __has_builtin(__builtin_assoc_barrier)
  return __builtin_assoc_barrier(product);
#else
  return __arithmetic_fence(product);
#endif
}

// scale <a, b>, and its exponential in units of exp(shift). `running` shifts are each anchor's own, and are at least as
// large as the logits that the anchor sums.
template <class T, bool Running>
struct Logit {
  // Rounded: forward and backward subtract shifts from it. Contracted into a fused multiply-add in one and not in the
  // other, or in some lanes, their exponentials would differ by the rounding of a logit, 1e-3 for logits of 1e4, and a
  // saturated softmax would not add up to 1.
  GRAMLESS_INLINE Vector<T> operator()(Vector<T> dot) const { return rounded<T>(dot * scale); }

  // exp(logit - unit), in units of exp(unit). Larger exponents count as the highest one; their results are not used.
  // Under a running unit the largest term is 1, so terms below the least exponent do not matter; computed exactly they
  // would give subnormal products, which some CPUs handle very slowly.
  template <class Shift>
  GRAMLESS_INLINE Vector<T> weight(Vector<T> logit, Shift unit) const {
    const Vector<T> exponent = logit - unit;
    if constexpr (!Running) return exp_minus<T>(exponent, T(0));
    const Vector<T> highest = splat(ExpConstants<T>::highest), least = splat(ExpConstants<T>::least);
    const Vector<T> bounded = highest < exponent ? highest : least > exponent ? least : exponent;  // NaN passes
    return least > exponent ? Vector<T>{} : exp_minus<T>(bounded, T(0));
  }

  T scale, shift;
  static constexpr bool running = Running;
};

}  // namespace GRAMLESS_ISA
}  // namespace gramless
