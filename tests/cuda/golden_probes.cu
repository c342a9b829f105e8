// golden_probes: runs every primitive of engine/instructions/primitives.cuh on known inputs and prints the results, a
// line each:
//   name tolerance words
// Compiled by nvcc it records what a GPU does, compiled by a host compiler what the emulator does: tests/cuda/golden.sh
// makes both, tests/cuda/golden.py compares them. Words are bits in hexadecimal. Tolerance: what float32 (or, "double",
// float64) words may differ by, relative to the largest in their line, where hardware and emulator may round
// differently.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <vector>

#include "device_words.cuh"
#include "golden_hopper.cuh"

namespace gramless::cuda {
namespace {

__device__ float float_of(Word word) {
  float value;
  memcpy(&value, &word, sizeof value);
  return value;
}
__device__ Word word_of(float value) {
  Word word;
  memcpy(&word, &value, sizeof word);
  return word;
}

// One number at a time: a word in, a word out.
struct HalfBits {
  __device__ static Word of(Word word, Word) { return half_bits(float_of(word)); }
};
struct BfloatBits {
  __device__ static Word of(Word word, Word) { return bfloat_bits(float_of(word)); }
};
struct WidenHalf {
  __device__ static Word of(Word word, Word) { return word_of(widen_half(static_cast<std::uint16_t>(word >> 16))); }
};
struct HalfPair {
  __device__ static Word of(Word low, Word high) { return half_pair(float_of(low), float_of(high)); }
};
struct BfloatPair {
  __device__ static Word of(Word low, Word high) { return bfloat_pair(float_of(low), float_of(high)); }
};
struct RoundToTf32 {
  __device__ static Word of(Word word, Word) { return word_of(round_to_tf32(float_of(word))); }
};
struct Exp2 {
  __device__ static Word of(Word word, Word) { return word_of(exp2_approximately(float_of(word))); }
};
struct MultiplyRounded {
  __device__ static Word of(Word a, Word b) {
    return word_of(multiply_rounded(float_of(a), float_of(b)) + float_of(a));
  }
};
struct FusedMultiplyAdd {
  __device__ static Word of(Word a, Word b) {
    return word_of(fused_multiply_add(float_of(a), float_of(b), -multiply_rounded(float_of(a), float_of(b))));
  }
};
struct ShuffleXor {
  __device__ static Word of(Word word, Word) { return __shfl_xor_sync(all_lanes, word, 5); }
};

template <class Operation>
__global__ void __launch_bounds__(32) probe_words(const Word* in, Word* out, int count) {
  for (int i = static_cast<int>(threadIdx.x); i < count; i += 32) out[i] = Operation::of(in[i], in[(i + 7) % count]);
}

// Eight rows of eight 16-bit elements, four times: 128 words in, 4 a lane out.
template <bool Transposed>
__global__ void __launch_bounds__(32) probe_matrices(const Word* in, Word* out, int) {
  Word* const shared = shared_memory<Word>();
  const int lane = static_cast<int>(threadIdx.x);
  for (int i = 0; i < 4; i++) shared[4 * lane + i] = in[4 * lane + i];
  __syncthreads();  // the matrices are there
  Word fragments[4];
  if (Transposed)
    load_matrices_transposed(fragments, shared + 4 * lane);
  else
    load_matrices(fragments, shared + 4 * lane);
  for (int i = 0; i < 4; i++) out[4 * lane + i] = fragments[i];
}

// The wait orders a thread's own copies, the barrier those of others.
__global__ void __launch_bounds__(32) probe_copies(const Word* in, Word* out, int) {
  Word* const shared = shared_memory<Word>();
  const int lane = static_cast<int>(threadIdx.x), other = lane ^ 9;
  copy_async(shared + 4 * lane, in + 4 * other);
  commit_copies();
  wait_for_copies<0>();
  __syncthreads();  // all copies have landed
  for (int i = 0; i < 4; i++) out[4 * lane + i] = shared[4 * other + i] + shared[4 * lane + i];
}

struct Bfloat {
  __device__ static void of(float (&d)[4], const Word (&a)[4], const Word (&b)[2]) { multiply_add_bfloat(d, a, b); }
};
struct Half {
  __device__ static void of(float (&d)[4], const Word (&a)[4], const Word (&b)[2]) { multiply_add_half(d, a, b); }
};
struct HalfFromZero {
  __device__ static void of(float (&d)[4], const Word (&a)[4], const Word (&b)[2]) { multiply_half(d, a, b); }
};
struct Tf32 {
  __device__ static void of(float (&d)[4], const Word (&a)[4], const Word (&b)[2]) { multiply_add_tf32(d, a, b); }
};

// 10 words a lane in, 4 out.
template <class Product>
__global__ void __launch_bounds__(32) probe_product(const Word* in, Word* out, int) {
  const Word* const own = in + 10 * threadIdx.x;
  const Word a[4] = {own[0], own[1], own[2], own[3]}, b[2] = {own[4], own[5]};
  float d[4] = {float_of(own[6]), float_of(own[7]), float_of(own[8]), float_of(own[9])};
  Product::of(d, a, b);
  for (int i = 0; i < 4; i++) out[4 * threadIdx.x + i] = word_of(d[i]);
}

// 4 float64 a lane in, 2 out.
__global__ void __launch_bounds__(32) probe_doubles(const Word* in, Word* out, int) {
  double own[4];
  memcpy(own, in + 8 * threadIdx.x, sizeof own);
  double d[2] = {own[0], own[1]};
  multiply_add_double(d, own[2], own[3]);
  memcpy(out + 4 * threadIdx.x, d, sizeof d);
}

__global__ void __launch_bounds__(32) probe_atomics(const Word* in, Word* out, int count) {
  unsigned* const counts = shared_memory<unsigned>();
  counts[threadIdx.x] = 0;
  __syncthreads();  // all counts are 0
  for (int i = static_cast<int>(threadIdx.x); i < count; i += 32) atomicAdd(&counts[in[i] % 32], 1u);
  __syncthreads();  // all are counted
  out[threadIdx.x] = counts[threadIdx.x];
}

// Runs a probe by run(from, to) and ends the program if it fails.
template <class Run>
void print_results(const char* name, const char* tolerance, const std::vector<Word>& in, std::size_t results, Run run) {
  DeviceWords from(in.size());
  const DeviceWords to(results);
  from.fill(in);
  const char* error = run(static_cast<const Word*>(from.get()), to.get());
  if (error == nullptr) error = wait();
  if (error != nullptr) {
    std::fprintf(stderr, "golden_probes: %s: %s\n", name, error);
    std::exit(1);
  }
  std::printf("%s %s", name, tolerance);
  for (const Word word : to.values()) std::printf(" %08x", word);
  std::printf("\n");
}

void print(const char* name, const char* tolerance, void (*kernel)(const Word*, Word*, int),
           const std::vector<Word>& in, std::size_t results) {
  print_results(name, tolerance, in, results, [&](const Word* from, Word* to) {
    return launch(kernel, {1}, 32, 1024, nullptr, from, to, static_cast<int>(in.size()));
  });
}

// The tensor map of a matrix of 16-bit numbers.
void print_boxes(const char* name, const char* tolerance, void (*kernel)(TensorMap, Word*), const std::vector<Word>& in,
                 int width, int box_rows, std::size_t shared_bytes) {
  print_results(name, tolerance, in, 512, [&](const Word* from, Word* to) {
    TensorMap map;
    const char* error = map_rows(map, from, width, static_cast<std::int64_t>(2 * in.size()) / width, box_rows);
    return error ? error : launch(kernel, {1}, probe_threads, shared_bytes, nullptr, map, to);
  });
}

Word bits(float value) {
  Word word;
  std::memcpy(&word, &value, sizeof word);
  return word;
}

// Of both signs and many exponents, with mantissas at halves of what is kept and beside them; some at random.
std::vector<Word> float_patterns() {
  std::vector<Word> words;
  for (const Word sign : {0u, 0x80000000u})
    for (Word exponent = 0; exponent < 256; exponent += exponent > 96 && exponent < 144 ? 1 : 13)
      for (const Word mantissa : {0u, 0x1000u, 0x1001u, 0x8000u, 0x7fffffu})
        if (exponent < 255 || mantissa == 0 || sign == 0)  // the sign of a NaN is not specified
          words.push_back(sign | exponent << 23 | (exponent == 255 && mantissa != 0 ? 0x400000u : mantissa));
  std::mt19937 random(1);
  while (words.size() % 32 != 0) words.push_back(static_cast<Word>(random()) & 0xbfffffffu);
  return words;
}

// Numbers in (-range, range), sums of powers of two: the same on any machine.
std::vector<Word> numbers(std::size_t count, float range, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<Word> words;
  for (std::size_t i = 0; i < count; i++)
    words.push_back(bits(range * (static_cast<float>(random() >> 8) * 0x1p-23f - 1)));
  return words;
}

std::vector<Word> pairs_of_16(std::size_t count, unsigned seed, bool bfloat) {
  std::mt19937 random(seed);
  std::vector<Word> words;
  const auto one = [&] {  // of magnitude 2^-3 to 2
    const auto mantissa = static_cast<Word>(random());
    const Word exponent = (bfloat ? 124 : 12) + mantissa % 4, width = bfloat ? 7 : 10;
    return (mantissa >> 31) << 15 | exponent << width | (mantissa >> 8 & ((1u << width) - 1));
  };
  for (std::size_t i = 0; i < count; i++) words.push_back(one() | one() << 16);
  return words;
}

// The inputs of a product's lane: 6 words of rows and columns, then 4 sums.
std::vector<Word> operands(const std::vector<Word>& factors, unsigned seed) {
  const std::vector<Word> sums = numbers(128, 4, seed);
  std::vector<Word> words;
  for (std::size_t lane = 0; lane < 32; lane++) {
    for (std::size_t i = 0; i < 6; i++) words.push_back(factors[6 * lane + i]);
    for (std::size_t i = 0; i < 4; i++) words.push_back(sums[4 * lane + i]);
  }
  return words;
}

std::vector<Word> doubles(std::size_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<Word> words;
  for (std::size_t i = 0; i < count; i++) {
    const double value = static_cast<double>(random()) * 0x1p-31 - 1 + static_cast<double>(random()) * 0x1p-63;
    Word halves[2];
    std::memcpy(halves, &value, sizeof value);
    words.insert(words.end(), halves, halves + 2);
  }
  return words;
}

void print_all() {
  const std::vector<Word> patterns = float_patterns(), ordinary = numbers(256, 20, 2);
  const auto words = [](const char* name, const char* tolerance, auto kernel, const std::vector<Word>& in) {
    print(name, tolerance, kernel, in, in.size());
  };
  words("half_bits", "0", probe_words<HalfBits>, patterns);
  words("bfloat_bits", "0", probe_words<BfloatBits>, patterns);
  words("widen_half", "each:0", probe_words<WidenHalf>, patterns);
  words("half_pair", "0", probe_words<HalfPair>, patterns);
  words("bfloat_pair", "0", probe_words<BfloatPair>, patterns);
  words("round_to_tf32", "each:0", probe_words<RoundToTf32>, patterns);
  words("exp2_approximately", "each:3e-7", probe_words<Exp2>, ordinary);
  words("multiply_rounded", "0", probe_words<MultiplyRounded>, ordinary);
  words("fused_multiply_add", "0", probe_words<FusedMultiplyAdd>, ordinary);
  words("shuffle_xor", "0", probe_words<ShuffleXor>, ordinary);
  print("load_matrices", "0", probe_matrices<false>, pairs_of_16(128, 3, false), 128);
  print("load_matrices_transposed", "0", probe_matrices<true>, pairs_of_16(128, 3, false), 128);
  print("copy_async", "0", probe_copies, numbers(128, 1, 4), 128);
  print("multiply_add_bfloat", "1e-6", probe_product<Bfloat>, operands(pairs_of_16(192, 5, true), 6), 128);
  print("multiply_add_half", "1e-6", probe_product<Half>, operands(pairs_of_16(192, 7, false), 8), 128);
  print("multiply_half", "1e-6", probe_product<HalfFromZero>, operands(pairs_of_16(192, 9, false), 10), 128);
  print("multiply_add_tf32", "1e-6", probe_product<Tf32>, operands(numbers(192, 2, 11), 12), 128);
  print("multiply_add_double", "double:1e-15", probe_doubles, doubles(128, 13), 128);
  print("atomic_add", "0", probe_atomics, pairs_of_16(999, 14, false), 32);
}

void print_hopper() {
  print_boxes("hopper_copy_box", "0", probe_box<Word>, pairs_of_16(13 * 28, 15, false), 56, probe_box_rows, 4096);
  print_boxes("hopper_multiply_boxes_bfloat", "4e-6", probe_boxes<BfloatOperand, Word>, pairs_of_16(192 * 32, 16, true),
              64, 128, sizeof(BoxRing<BfloatOperand>));
  print_boxes("hopper_multiply_boxes_half", "4e-6", probe_boxes<HalfOperand, Word>, pairs_of_16(192 * 32, 17, false),
              64, 128, sizeof(BoxRing<HalfOperand>));
  print_boxes("hopper_multiply_fragment_bfloat", "4e-6", probe_weights<BfloatOperand, Word>,
              pairs_of_16(192 * 52, 18, true), 104, 128, sizeof(ResidentRing<BfloatOperand>));
  print_boxes("hopper_multiply_fragment_half", "4e-6", probe_weights<HalfOperand, Word>,
              pairs_of_16(192 * 52, 19, false), 104, 128, sizeof(ResidentRing<HalfOperand>));
}

}  // namespace
}  // namespace gramless::cuda

int main() {
  using namespace gramless::cuda;
  print_all();
  if (code_version<probe_box<Word>>() == 90) print_hopper();  // elsewhere the probes are empty
  return 0;
}
