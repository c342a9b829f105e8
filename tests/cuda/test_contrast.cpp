// The contrastive losses and their gradients from emulated kernels against n x n code in long double, beside naive code
// in the same dtype.
#include "contrast_problem.hpp"
#include "hopper.hpp"

namespace gramless::cuda {
namespace {

const std::vector<ContrastCase> nt_xent = {
    {{1, 1}, {}, 3, 0.5},   {{2, 2}, {}, 1, 0.5},     {{5, 5}, {}, 33, 0.1},    {{33, 33}, {}, 64, 0.05},
    {{64, 64}, {}, 7, 0.5}, {{65, 65}, {}, 100, 0.2}, {{40, 40}, {}, 9, 0.005}, {{40, 40}, {}, 33, 0.015},
};
const std::vector<ContrastCase> relatives = {
    {{30, 30}, {}, 9, 2.0, false},
    {{40, 40}, {}, 17, 0.3, true, ContrastKind::decoupled},
    {{50}, {}, 20, 0.5, true, ContrastKind::softmax, 7},
    {{50}, {}, 20, 0.02, true, ContrastKind::softmax, 40},
    {{33}, {33}, 12, 0.2, true, ContrastKind::softmax, 0, true},
    {{20}, {20, 70}, 40, 0.1},
    {{20}, {90}, 5, 0.1, true, ContrastKind::log_sum_exp},
    {{60}, {60}, 50, -0.4, true, ContrastKind::softmax, 0, true},
};
const std::vector<ContrastCase> wide = {{{70, 70}, {}, 300, 0.1},
                                        {{10}, {150}, 270, 0.5, true, ContrastKind::softmax, 4}};

TEST(contrastive_losses_have_the_same_bits_in_every_schedule) {
  for (const ContrastCase& shape : {ContrastCase{{70, 70}, {}, 40, 0.1},
                                    ContrastCase{{130}, {200}, 20, 2.0, false, ContrastKind::softmax, 0, true}})
    for (const Dtype dtype : {Dtype::float32, Dtype::float16, Dtype::float64}) {
      if ((dtype != Dtype::float32 || !shape.keys.empty()) && !in_all_schedules) continue;
      const ContrastInput input = input_of(shape, dtype);
      check_case(shape, dtype,
                 same_in_every_schedule([&] { return ours(shape, input, dtype, default_operand(dtype, false)); }));
    }
}

// More tiles than strips, so that blocks go from one to the next.
TEST(contrastive_losses_have_no_seam_between_tiles) {
  if (!in_all_schedules) return;  // the tests above have blocks with several tiles too
  use_schedule(schedules - 1);
  const ContrastCase shape{{4}, {1100}, 20, 0.5};
  const ContrastInput input = input_of(shape, Dtype::float32);
  check_case(shape, Dtype::float32, ours(shape, input, Dtype::float32, Operand::split));
}

// Whole blocks of rows without a positive in between: their tiles are computed once, for the sums of both, unless
// shifts run. An even and an odd number of blocks, the last one whole or not; in one launch and in several.
const std::vector<ContrastCase> of_many_blocks = {
    {{256, 256}, {}, 5, 0.5},
    {{512}, {}, 5, 0.2, true, ContrastKind::log_sum_exp},
    {{325, 325}, {}, 5, 0.2, true, ContrastKind::decoupled},
    {{384}, {}, 5, 0.005, true, ContrastKind::log_sum_exp},
    {{128, 128}, {}, 5, 0.015},  // a shift of all anchors that is not 0
};

TEST(contrastive_losses_have_tiles_for_two_blocks_of_rows) {
  const ContrastCase two_blocks{{256}, {}, 5, 0.5, true, ContrastKind::log_sum_exp};
  for (const Dtype dtype : {Dtype::float32, Dtype::float64}) {
    if (dtype != Dtype::float32 && !in_all_schedules) continue;
    const ContrastInput input = input_of(two_blocks, dtype);
    check_case(two_blocks, dtype,
               same_in_every_schedule([&] { return ours(two_blocks, input, dtype, default_operand(dtype, false)); }));
  }
  if (!in_all_schedules) return;
  use_schedule(0);
  for (ContrastCase shape : of_many_blocks)
    for (const std::int64_t stored_bytes : {ContrastTask().stored_bytes, std::int64_t{0}}) {
      shape.stored_bytes = stored_bytes;
      check_cases({shape}, Dtype::float16, Operand::float16);
    }
}

// Similar views: the positive's softmax is nearly 1, and its difference to 1 must not be computed from rounded numbers.
TEST(gradients_of_views_that_fit_are_accurate_in_bfloat16) {
  use_schedule(0);
  const ContrastCase shape{{80, 80}, {}, 128, 0.1};
  ContrastInput input = input_of(shape, Dtype::bfloat16);
  const DeviceMatrix& x = input.parts[0];
  const auto noise = normal_entries(3);
  input.parts[1] = DeviceMatrix(Dtype::bfloat16, 80, shape.width, [&](std::int64_t i, std::int64_t k) {
    return x.value(i, k) + (i < 70 ? 0.1 : 3.0) * noise(i, k);  // most of them
  });
  const auto truth = NaiveContrast<long double>(shape, input, Dtype::float64).answer().grads;
  const auto check = [&] {
    const auto found = ours(shape, input, Dtype::bfloat16, Operand::bfloat16).grads;
    for (const std::size_t first : {0, 70}) {  // matching rows, and all others of the first view
      double error = 0, length = 0;
      for (std::size_t i = first * 128; i < (first == 0 ? 70 : 80) * 128; i++) {
        error += (found[i] - truth[i]) * (found[i] - truth[i]);
        length += truth[i] * truth[i];
      }
      CHECK(std::sqrt(error / length) < 6e-3);
    }
  };
  check();
  const Hopper asked;
  check();
}

// Scratch and what is kept for the backward; float32 rows are two numbers each there. No row is read.
TEST(contrastive_losses_of_a_million_rows_need_less_than_2_gb) {
  for (const Dtype dtype : {Dtype::bfloat16, Dtype::float32}) {
    ContrastForwardTask forward;
    forward.problem.operand = default_operand(dtype, false);
    forward.problem.anchors.part_count = 2;
    for (Matrix& view : forward.problem.anchors.parts)
      view = {&forward,
              500'000,
              128,
              128 * static_cast<std::int64_t>(bytes_of(dtype)),
              static_cast<std::int64_t>(bytes_of(dtype)),
              dtype};
    ContrastBackwardTask backward;
    backward.problem = forward.problem;
    const std::size_t saved = contrast_saved_arrays * 1'000'000 * sizeof(double);
    for (const std::size_t scratch :
         {contrast_forward_scratch_bytes(forward), contrast_backward_scratch_bytes(backward)})
      CHECK(scratch > 0 && saved + scratch < 2'000'000'000);
    if (dtype != Dtype::bfloat16) continue;
    const std::size_t rows_and_gradients = 2 * 1'000'000 * 128 * sizeof(std::uint16_t);
    CHECK(rows_and_gradients + saved + contrast_backward_scratch_bytes(backward) < 2'000'000'000);
  }
}

TEST(nt_xent_of_every_dtype_is_as_accurate_as_naive_code) {
  use_schedule(0);
  check_cases(nt_xent, Dtype::float32, Operand::split);
  check_cases(nt_xent, Dtype::float64, Operand::float64);
  check_cases(nt_xent, Dtype::float16, Operand::float16);
  check_cases(nt_xent, Dtype::bfloat16, Operand::bfloat16);
}

TEST(relatives_of_nt_xent_are_as_accurate_as_naive_code) {
  use_schedule(5);
  check_cases(relatives, Dtype::float32, Operand::split);
  check_cases(relatives, Dtype::float64, Operand::float64);
  check_cases(relatives, Dtype::bfloat16, Operand::bfloat16);
}

TEST(wide_rows_are_as_accurate_as_naive_code) {
  use_schedule(1);
  check_cases(wide, Dtype::float32, Operand::split);
  check_cases(wide, Dtype::float16, Operand::float16);
  check_cases({{{10, 10}, {}, 70, 0.1}}, Dtype::float64, Operand::float64);
}

}  // namespace
}  // namespace gramless::cuda
