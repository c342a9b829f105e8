#include <string_view>

#include "ops/sigmoid/sigmoid_pairs.hpp"

namespace gramless {

extern const SigmoidPairs sigmoid_pairs_baseline;
#if defined(GRAMLESS_HAS_X86)
extern const SigmoidPairs sigmoid_pairs_avx2, sigmoid_pairs_avx512;
#endif
#if defined(GRAMLESS_HAS_AMX)
extern const SigmoidPairs sigmoid_pairs_amx;
#endif

SigmoidPairs sigmoid_pairs_of(const OpTable& ops) {
  [[maybe_unused]] const std::string_view name = ops.name;
#if defined(GRAMLESS_HAS_AMX)
  if (name == "amx") return sigmoid_pairs_amx;
#endif
#if defined(GRAMLESS_HAS_X86)
  if (name == "avx512") return sigmoid_pairs_avx512;
  if (name == "avx2") return sigmoid_pairs_avx2;
#endif
  return sigmoid_pairs_baseline;
}

}  // namespace gramless
