// float32 as a sum of three bfloat16, exactly: 24 bits are 8 + 8 + 8. Products of them that the matrix unit adds in
// float32 are then as accurate as float32 products.
#pragma once

#include "engine/instructions/simd.hpp"
#include "engine/pack/transpose.hpp"

namespace gramless {
inline namespace GRAMLESS_ISA {

// The contents of three matrix registers, with the high, middle and low parts of a block: 16 rows of 16 words, a word
// being the bfloat16 of depths k and k + 16. Any pairing of depths gives the same sums; this one needs no shuffle.
struct Bf16x3 {
  static constexpr int side = 16, depth = 32;
  using Word = std::uint32_t;
  alignas(64) Word parts[3][side][side];
};

// What a block is for: rows of the left factor, whose words run along the depth, or columns of the right factor, whose
// words run across it.
enum class Factor { left, right };

namespace detail {

using Words = Vector<Bf16x3::Word, 16>;
using Floats = Vector<float, 16>;

// Subtracts the leading 8 bits from `rest` and returns them: rounded, ties away from zero. NaN stays in the rest.
GRAMLESS_INLINE Words take_part(Floats& rest) {
  const Words part = (reinterpret_cast<Words>(rest) + 0x8000u) & 0xFFFF0000u;
  rest -= reinterpret_cast<Floats>(part);
  return part;
}

GRAMLESS_INLINE Words join(Words first, Words second) { return (first >> 16) | second; }

// Writes row `row` of the three parts: depths k from `first` and k + 16 from `second`.
GRAMLESS_INLINE void split(Floats first, Floats second, Bf16x3& bf16x3, int row) {
  const Words high = join(take_part(first), take_part(second));
  const Words middle = join(take_part(first), take_part(second));
  const Words low = join(reinterpret_cast<Words>(first), reinterpret_cast<Words>(second) & 0xFFFF0000u);
  store(bf16x3.parts[0][row], high);
  store(bf16x3.parts[1][row], middle);
  store(bf16x3.parts[2][row], low);
}

inline void transpose_words(Bf16x3::Word (&part)[Bf16x3::side][Bf16x3::side]) {
  Words words[Bf16x3::side];
#pragma GCC unroll 16
  for (int r = 0; r < Bf16x3::side; r++) words[r] = load<Words>(part[r]);
  transpose<Bf16x3::side / 2>(words);
#pragma GCC unroll 16
  for (int r = 0; r < Bf16x3::side; r++) store(part[r], words[r]);
}

}  // namespace detail

// A block whose rows are adjacent along the depth, or across it: value(r, h) are depths [16 h, 16 h + 16) of row r, or
// depth 16 h + r of all rows.
template <bool transposed, class Value>
GRAMLESS_INLINE void split_block(Value value, Bf16x3& bf16x3) {
#pragma GCC unroll 4
  for (int r = 0; r < Bf16x3::side; r++) detail::split(value(r, 0), value(r, 1), bf16x3, r);
  if constexpr (transposed)
    for (auto& part : bf16x3.parts) detail::transpose_words(part);
}

}  // namespace GRAMLESS_ISA
}  // namespace gramless
