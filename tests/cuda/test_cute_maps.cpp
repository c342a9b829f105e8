// The emulator's products of operands in CuTe's layouts are products of matrices. Host only; needs the
// headers of nvidia-cutlass.
#include <cute/arch/mma_sm90_desc.hpp>
#include <cute/atom/mma_traits_sm80.hpp>
#include <cute/atom/mma_traits_sm90_gmma.hpp>
#include <cute/tensor.hpp>

#undef __global__  // of CUDA's headers; the emulator has its own
#undef __device__
#undef __forceinline__
#undef __launch_bounds__
#undef __grid_constant__

#include "check.hpp"
#include "engine/product/dot_tile.cuh"
#include "engine/product/resident_rows_hopper.cuh"

namespace gramless::cuda {
namespace {

// A (rows, Depth), B (Depth, 8) of small integers, D = A B + 1, with fragments filled and read through CuTe's layouts.
template <class Traits, class Element, class Word, class Value, class Multiply>
void check_product(int rows, int depth, Multiply multiply) {
  typename Traits::ALayout of_a;
  typename Traits::BLayout of_b;
  typename Traits::CLayout of_c;
  const auto a = [](int row, int k) { return (3 * row + 5 * k) % 7 - 3; };
  const auto b = [](int k, int col) { return (2 * k + 3 * col) % 5 - 2; };
  constexpr int a_elements = cute::size<1>(typename Traits::ALayout{}),
                b_elements = cute::size<1>(typename Traits::BLayout{}),
                c_elements = cute::size<1>(typename Traits::CLayout{});
  using WordsOfA = Word[a_elements * sizeof(Element) / sizeof(Word)];  // named here: GCC 12 fails on them in the lambda
  using WordsOfB = Word[b_elements * sizeof(Element) / sizeof(Word)];
  using Results = Value[c_elements];
  Element fragments_a[32][a_elements], fragments_b[32][b_elements];
  for (int lane = 0; lane < 32; lane++) {
    for (int v = 0; v < a_elements; v++) {
      const int at = of_a(lane, v);
      fragments_a[lane][v] = Element(static_cast<float>(a(at % rows, at / rows)));
    }
    for (int v = 0; v < b_elements; v++) {
      const int at = of_b(lane, v);
      fragments_b[lane][v] = Element(static_cast<float>(b(at / 8, at % 8)));
    }
  }
  Value results[32][c_elements];
  emulator::Launch({}, {32, 1, 1}, 0, [&] {
    const unsigned lane = threadIdx.x;
    WordsOfA words_a;
    WordsOfB words_b;
    std::memcpy(words_a, fragments_a[lane], sizeof words_a);
    std::memcpy(words_b, fragments_b[lane], sizeof words_b);
    Results d;
    for (Value& value : d) value = 1;
    multiply(d, words_a, words_b);
    for (int v = 0; v < c_elements; v++) results[lane][v] = d[v];
  }).run();
  for (int lane = 0; lane < 32; lane++)
    for (int v = 0; v < c_elements; v++) {
      const int at = of_c(lane, v);
      int expected = 1;
      for (int k = 0; k < depth; k++) expected += a(at % rows, k) * b(k, at / rows);
      CHECK(results[lane][v] == static_cast<Value>(expected));
    }
}

struct BfloatElement {
  explicit BfloatElement(float value = 0) : bits(bfloat_bits(value)) {}
  std::uint16_t bits;
};
struct HalfElement {
  explicit HalfElement(float value = 0) : bits(half_bits(value)) {}
  std::uint16_t bits;
};

TEST(products_of_half_types_are_those_of_cute_fragments) {
  check_product<cute::MMA_Traits<cute::SM80_16x8x16_F32BF16BF16F32_TN>, BfloatElement, std::uint32_t, float>(
      16, 16, [](auto& d, const auto& a, const auto& b) { multiply_add_bfloat(d, a, b); });
  check_product<cute::MMA_Traits<cute::SM80_16x8x16_F32F16F16F32_TN>, HalfElement, std::uint32_t, float>(
      16, 16, [](auto& d, const auto& a, const auto& b) { multiply_add_half(d, a, b); });
}

TEST(products_of_tf32_are_those_of_cute_fragments) {
  check_product<cute::MMA_Traits<cute::SM80_16x8x8_F32TF32TF32F32_TN>, float, std::uint32_t, float>(
      16, 8, [](auto& d, const auto& a, const auto& b) { multiply_add_tf32(d, a, b); });
}

TEST(products_of_float64_are_those_of_cute_fragments) {
  check_product<cute::MMA_Traits<cute::SM80_8x8x4_F64F64F64F64_TN>, double, double, double>(
      8, 4, [](auto& d, const auto& a, const auto& b) { multiply_add_double(d, a[0], b[0]); });
}

// Rows 64 bytes apart, 16-byte pieces.
TEST(swizzled_pieces_lie_as_cute_says) {
  const cute::Swizzle<2, 4, 3> swizzle;
  for (int row = 0; row < 128; row++)
    for (int piece = 0; piece < 4; piece++)
      CHECK(row * slice_bytes + swizzled(row, piece) == swizzle(row * slice_bytes + piece * 16));
}

using BfloatRing = BoxRing<BfloatOperand>;

// The place at which CuTe expects element (row, k) of a box whose rows are swizzled over 128 bytes.
int cute_place(int row, int k) {
  using namespace cute;
  static const auto layout = as_position_independent_swizzle_layout(
      tile_to_shape(SM90::GMMA::Layout_K_SW128_Atom<bfloat16_t>{}, Shape<Int<BfloatRing::rows>, Int<box_width>>{}));
  return layout(row, k);
}

TEST(a_box_is_described_as_cute_says) {
  cute::GmmaDescriptor rows, further;
  emulator::Launch({}, {2 * warpgroup_threads, 1, 1}, sizeof(BfloatRing), [&] {
    const RingReader<BfloatOperand> reader(*shared_memory<BfloatRing>());
    if (threadIdx.x != warpgroup_threads) return;
    rows.desc_ = reader.rows(3, 0);
    further.desc_ = reader.rows(3, 0) + description_step;
  }).run();
  const auto& bits = rows.bitfield;
  CHECK(bits.start_address_ == (3 * BfloatRing::rows + 64) * box_row_bytes / 16 && bits.base_offset_ == 0);
  CHECK(bits.layout_type_ == static_cast<int>(cute::SM90::GMMA::LayoutType::B128));
  CHECK(bits.leading_byte_offset_ == 1 && bits.stride_byte_offset_ == (cute_place(8, 0) - cute_place(0, 0)) * 2 / 16);
  CHECK(further.bitfield.start_address_ == bits.start_address_ + (cute_place(0, 16) - cute_place(0, 0)) * 2 / 16);
}

// Rows are copied by the primitive, columns are written and results are read by CuTe's layouts.
TEST(products_of_warpgroups_are_those_of_cute_layouts) {
  const auto a = [](int row, int k) { return static_cast<float>((3 * row + 5 * k) % 7 - 3); };
  const auto b = [](int col, int k) { return static_cast<float>((2 * k + 3 * col) % 5 - 2); };
  alignas(16) static std::uint16_t elements[BfloatRing::rows * box_width];
  for (int row = 0; row < BfloatRing::rows; row++)
    for (int k = 0; k < box_width; k++) elements[row * box_width + k] = bfloat_bits(a(row, k));
  TensorMap map;
  CHECK(map_rows(map, elements, box_width, BfloatRing::rows, BfloatRing::rows) == nullptr);
  const cute::SM90::GMMA::CLayout_64x128 of_sums;
  emulator::Launch({}, {2 * warpgroup_threads, 1, 1}, sizeof(BfloatRing), [&] {
    BfloatRing& ring = *shared_memory<BfloatRing>();
    if (threadIdx.x == 0) {
      ring.initialize();
      publish_barriers();
      arrive_expecting(ring.full[0], sizeof(BfloatRing::Box));
      copy_box(ring.of_rows[0][0], map, 0, 0, ring.full[0]);
      for (int col = 0; col < BfloatRing::rows; col++)
        for (int k = 0; k < box_width; k++) ring.of_columns[0][0][cute_place(col, k)] = bfloat_bits(b(col, k));
    }
    __syncthreads();
    RingReader<BfloatOperand> reader(ring);
    const int stage = reader.take(), thread = static_cast<int>(threadIdx.x) % warpgroup_threads,
              above = static_cast<int>(threadIdx.x) / warpgroup_threads * 64;
    float sums[64];
    fence_products();
    for (int k = 0; k < box_width / 16; k++)
      multiply_boxes_bfloat(sums, reader.rows(stage, 0) + k * description_step,
                            reader.columns(stage, 0) + k * description_step, k > 0);
    commit_products();
    wait_for_products<0>(sums);
    for (int i = 0; i < 64; i++) {
      const int at = of_sums(thread, i), row = above + at % 64, col = at / 64;
      float expected = 0;
      for (int k = 0; k < box_width; k++) expected += a(row, k) * b(col, k);
      CHECK(sums[i] == expected);
    }
  }).run();
  for (int row = 0; row < BfloatRing::rows; row++)  // what the copy wrote, by the same rule
    for (int k = 0; k < box_width; k++)
      CHECK(cute_place(row, k) * 2 == static_cast<int>(swizzled_box(static_cast<std::uint32_t>(row * 128 + k * 2))));
}

using Resident = ResidentRing<BfloatOperand>;

// The place at which CuTe expects number `col` of row k of a tile of columns, whose rows are the depth of the product.
int cute_place_of_column(int col, int k) {
  using namespace cute;
  static const auto layout = as_position_independent_swizzle_layout(
      tile_to_shape(SM90::GMMA::Layout_MN_SW128_Atom<bfloat16_t>{}, Shape<Int<Resident::width>, Int<Resident::rows>>{},
                    Step<_2, _1>{}));
  return layout(col, k);
}

TEST(rows_that_are_the_depth_are_described_as_cute_says) {
  cute::GmmaDescriptor columns;
  emulator::Launch({}, {1, 1, 1}, sizeof(Resident), [&] {
    const Resident& ring = *shared_memory<Resident>();
    columns.desc_ = describe_rows(ring.of_columns[0][0], sizeof(Resident::Box));
  }).run();
  const auto& bits = columns.bitfield;
  CHECK(bits.layout_type_ == static_cast<int>(cute::SM90::GMMA::LayoutType::B128) && bits.base_offset_ == 0);
  CHECK(bits.leading_byte_offset_ == (cute_place_of_column(64, 0) - cute_place_of_column(0, 0)) * 2 / 16);
  CHECK(bits.stride_byte_offset_ == (cute_place_of_column(0, 8) - cute_place_of_column(0, 0)) * 2 / 16);
  CHECK((cute_place_of_column(0, 16) - cute_place_of_column(0, 0)) * 2 == 16 * box_row_bytes);
}

// Weights are written to registers, columns to memory, and sums are read, by CuTe's layouts.
TEST(products_of_weights_are_those_of_cute_layouts) {
  const auto weight = [](int row, int k) { return static_cast<float>((3 * row + 5 * k) % 7 - 3); };
  const auto column = [](int k, int col) { return static_cast<float>((2 * k + 3 * col) % 5 - 2); };
  const cute::SM90::GMMA::ALayout_64x16 of_weights;
  const cute::SM90::GMMA::CLayout_64x128 of_sums;
  emulator::Launch({}, {2 * warpgroup_threads, 1, 1}, sizeof(Resident), [&] {
    Resident& ring = *shared_memory<Resident>();
    const int thread = static_cast<int>(threadIdx.x) % warpgroup_threads,
              above = static_cast<int>(threadIdx.x) / warpgroup_threads * 64;
    if (threadIdx.x == 0) {
      ring.initialize();
      for (int k = 0; k < Resident::rows; k++)
        for (int col = 0; col < Resident::width; col++)
          ring.of_columns[2][0][cute_place_of_column(col, k)] = bfloat_bits(column(k, col));
    }
    __syncthreads();
    ResidentReader<BfloatOperand>::Weights weights;
    for (int fragment = 0; fragment < Resident::rows / 16; fragment++)
      for (int v = 0; v < 8; v += 2) {
        const int first = of_weights(thread, v), second = of_weights(thread, v + 1);
        weights[fragment][v / 2] = bfloat_pair(weight(above + first % 64, fragment * 16 + first / 64),
                                               weight(above + second % 64, fragment * 16 + second / 64));
      }
    WarpgroupTile tile;
    for (float& sum : tile.sums) sum = 1;
    const ResidentReader<BfloatOperand> reader(ring);
    fence_products();
    reader.multiply_weights(tile.sums, weights, 2);
    commit_products();
    wait_for_products<0>(tile.sums);
    for (int i = 0; i < 64; i++) {
      const int at = of_sums(thread, i), row = above + at % 64, col = at / 64;
      float expected = 1;
      for (int k = 0; k < Resident::rows; k++) expected += weight(row, k) * column(k, col);
      CHECK(tile.sums[i] == expected);
    }
  }).run();
}

}  // namespace
}  // namespace gramless::cuda
