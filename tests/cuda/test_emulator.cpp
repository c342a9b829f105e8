// The emulator itself: its results, and that it reports errors of a kernel.
#include <string>

#include "device_memory.hpp"
#include "engine/instructions/primitives_hopper.cuh"

namespace gramless::cuda {
namespace {

template <class Kernel>
std::string error_of(Kernel kernel, int threads = 64, std::size_t shared_bytes = 1024) {
  static Kernel* body;
  body = &kernel;
  const char* error = launch(+[] { (*body)(); }, {1}, threads, shared_bytes, nullptr);
  return error ? error : "";
}

bool says(const std::string& error, const char* words) {
  const bool found = error.find(words) != std::string::npos;
  if (!found) std::fprintf(stderr, "'%s' does not say '%s'\n", error.c_str(), words);
  return found;
}

TEST(a_kernel_without_faults_has_no_error) {
  for (int number = 0; number < schedules; number++) {
    use_schedule(number);
    int sum = 0;
    CHECK(error_of([&] {
            int* const shared = shared_memory<int>();
            shared[threadIdx.x] = static_cast<int>(threadIdx.x);
            __syncthreads();
            if (threadIdx.x == 0)
              for (int i = 0; i < 64; i++) sum += shared[i];
          }).empty());
    CHECK(sum == 63 * 32);
  }
}

TEST(threads_at_different_barriers_are_an_error) {
  const std::string error = error_of([] {  // not within CHECK, where all code is on one line
    if (threadIdx.x < 32)
      __syncthreads();
    else
      __syncthreads();
  });
  CHECK(says(error, "divergent barrier"));
}

TEST(a_thread_that_leaves_before_a_barrier_is_an_error) {
  for (int number = 0; number < 3; number++) {
    use_schedule(number);
    const std::string error = error_of([] {
      if (threadIdx.x == 5) return;
      __syncthreads();
    });
    CHECK(error.find("has left") != std::string::npos || error.find("deadlock") != std::string::npos);
  }
}

TEST(lanes_in_different_warp_operations_are_an_error) {
  CHECK(says(error_of([] {
               if (threadIdx.x % 2 == 0)
                 __syncwarp();
               else
                 __shfl_xor_sync(all_lanes, 1, 1);
             }),
             "divergent warp"));
  CHECK(says(error_of([] {
               if (threadIdx.x % warp_lanes < 16) __shfl_xor_sync(0xffffu, 1, 16);
             }),
             "outside its mask"));
}

TEST(misaligned_addresses_are_an_error) {
  CHECK(says(error_of(
                 [] {
                   std::uint32_t fragments[4];
                   load_matrices(fragments, shared_memory<char>() + 8);
                 },
                 32),
             "ldmatrix"));
  CHECK(says(error_of([] {
               alignas(16) static char from[64];
               copy_async(shared_memory<char>(), from + 4);
             }),
             "cp.async"));
}

TEST(a_copy_that_is_not_waited_for_is_an_error) {
  alignas(16) static char from[16] = {};
  CHECK(says(error_of([] {
               if (threadIdx.x == 0) copy_async(shared_memory<char>(), from);
               commit_copies();
             }),
             "not waited for"));
}

TEST(what_a_late_copy_brings_is_not_there_before_the_wait) {
  use_schedule(0);
  alignas(16) static float from[4] = {1, 2, 3, 4};
  float before = 0, after = 0;
  CHECK(error_of(
            [&] {
              float* const shared = shared_memory<float>();
              copy_async(shared, from);
              commit_copies();
              before = shared[0];
              wait_for_copies<0>();
              after = shared[0];
            },
            1)
            .empty());
  CHECK(std::isnan(before) && after == 1);
}

// A box of 8 rows at the start of shared memory, its barrier behind it.
constexpr int box_rows = 8, box_bytes = box_rows * box_row_bytes;
Barrier& barrier_behind() { return *reinterpret_cast<Barrier*>(shared_memory<char>() + box_bytes); }

std::string error_of_copy(int expected_bytes, bool published) {
  alignas(16) static std::uint16_t rows[box_rows * box_width];
  for (int i = 0; i < box_rows * box_width; i++) rows[i] = static_cast<std::uint16_t>(i);
  TensorMap map;
  CHECK(map_rows(map, rows, box_width, box_rows, box_rows) == nullptr);
  return error_of(
      [&] {
        Barrier& landed = barrier_behind();
        if (threadIdx.x == 0) {
          initialize_barrier(landed, 1);
          if (published) publish_barriers();
          arrive_expecting(landed, expected_bytes);
          copy_box(shared_memory<char>(), map, 0, 0, landed);
        }
        __syncthreads();
        wait_for_phase(landed, 0);
        const auto* const box = shared_memory<std::uint16_t>();
        CHECK(box[0] == 0 && box[3 * box_width + (3 ^ 2) * 8] == 3 * box_width + 16);  // row 3, third piece
      },
      64, box_bytes + 8);
}

TEST(a_box_lands_at_its_barrier_swizzled) {
  for (int number = 0; number < schedules; number++) {
    use_schedule(number);
    CHECK(error_of_copy(box_bytes, true).empty());
    CHECK(says(error_of_copy(box_bytes, false), "knows nothing of its barrier"));
    CHECK(says(error_of_copy(box_bytes / 2, true), "more bytes land"));
    CHECK(says(error_of_copy(box_bytes * 2, true), "deadlock"));
  }
}

TEST(a_barrier_that_is_not_initialized_is_an_error) {
  CHECK(says(error_of([] { wait_for_phase(barrier_behind(), 0); }, 64, box_bytes + 8), "before it is initialized"));
}

TEST(products_of_warpgroups_need_a_fence_and_a_wait) {
  const auto multiply = [](bool fenced, bool waits) {
    return error_of(
        [=] {
          float sums[64];
          if (fenced) fence_products();
          multiply_boxes_half(sums, std::uint64_t{1} << 62, std::uint64_t{1} << 62, false);
          commit_products();
          if (waits) wait_for_products<0>(sums);
        },
        warpgroup_threads, 1024);
  };
  CHECK(multiply(true, true).empty());
  CHECK(says(multiply(false, true), "without a fence"));
  CHECK(says(multiply(true, false), "not waited for"));
}

TEST(float16_rounds_to_nearest_even_and_back) {
  for (std::uint32_t bits = 0; bits < 0x10000u; bits++) {
    const float value = widen_half(static_cast<std::uint16_t>(bits));
    if (std::isnan(value)) continue;
    CHECK(half_bits(value) == bits);
    const float next = widen_half(static_cast<std::uint16_t>(bits + 1));
    if (std::isnan(next) || std::isinf(next) || std::isinf(value) || (bits & 0x7fffu) == 0x7fffu) continue;
    const float middle = (value + next) / 2;  // exact
    CHECK(half_bits(middle) == (bits % 2 == 0 ? bits : bits + 1));
  }
  CHECK(half_bits(65519.0f) == 0x7bff && half_bits(65520.0f) == 0x7c00 && std::isnan(widen_half(half_bits(NAN))));
}

}  // namespace
}  // namespace gramless::cuda
