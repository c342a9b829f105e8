// Epilogue of the contrastive losses: a dot product becomes a logit, and that its exponential.
#pragma once

#include "epilogues/exp.hpp"

namespace gramless {
inline namespace GRAMLESS_ISA {

// A product that no addition is fused with. The builtin of GCC 12 takes a vector of 64 bytes apart and puts it together
// again, lane by lane; what an empty instruction may have changed stays in its register. Of shorter vectors there are
// fewer registers, and it would be kept beside them on the stack.
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

// scale <a, b>, and its exponential in units of exp(shift). `running` shifts are each anchor's own, and bound only what
// the anchor sums.
template <class T, bool Running>
struct Logit {
  // Rounded: forward and backward subtract shifts from it. Contracted into a fused multiply-add in one and not in the
  // other, or in some lanes, their exponentials would differ by the rounding of a logit, 1e-3 for logits of 1e4, and a
  // saturated softmax would not add up to 1.
  GRAMLESS_INLINE Vector<T> operator()(Vector<T> dot) const { return rounded<T>(dot * scale); }

  // exp(logit - unit), in units of exp(unit). What is above the highest exponent is taken as that, and not used. Beside
  // the 1 that a running unit makes of the largest, what is below the least is nothing; as small a number it would make
  // subnormal products, which some CPUs take very long for.
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
