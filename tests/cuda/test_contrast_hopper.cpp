// Kernels of compute capability 9.0 for contrastive losses: values, gradients, and which problems use them.
#include "contrast_problem.hpp"
#include "hopper.hpp"

namespace gramless::cuda {
namespace {

ContrastAnswer found(const ContrastCase& shape, Dtype dtype) {
  return ours(shape, input_of(shape, dtype), dtype, default_operand(dtype, false));
}

TEST(contrastive_losses_on_hopper_have_the_same_bits_in_every_schedule) {
  const Hopper asked;
  for (const ContrastCase& shape :
       {ContrastCase{{130, 130}, {}, 70, 0.1}, ContrastCase{{256}, {}, 128, 0.5, true, ContrastKind::log_sum_exp},
        ContrastCase{{140}, {}, 70, 2.0, false, ContrastKind::softmax, 30}}) {
    if (shape.width != 128 && !in_all_schedules) continue;
    const Dtype dtype = shape.width == 128 ? Dtype::float16 : Dtype::bfloat16;
    const ContrastInput input = input_of(shape, dtype);
    check_case(shape, dtype,
               same_in_every_schedule([&] { return ours(shape, input, dtype, default_operand(dtype, false)); }));
  }
}

const std::vector<ContrastCase> for_hopper = {
    {{5, 5}, {}, 65, 0.5},
    {{64, 64}, {}, 96, 0.2},
    {{200, 200}, {}, 97, 0.1},
    {{256, 256}, {}, 70, 0.5},
    {{40, 40}, {}, 100, 0.005},
    {{40, 40}, {}, 100, 0.015},
    {{330}, {}, 80, 0.2, true, ContrastKind::log_sum_exp},
    {{70, 70}, {}, 100, -0.3, true, ContrastKind::decoupled},
    {{150}, {}, 70, 0.5, true, ContrastKind::softmax, 7},
    {{300}, {}, 70, 3.0, false, ContrastKind::softmax, 200},
};

TEST(contrastive_losses_on_hopper_are_as_accurate_as_naive_code) {
  if (!in_all_schedules) return;
  const Hopper asked;
  use_schedule(2);
  for (const Dtype dtype : {Dtype::bfloat16, Dtype::float16})
    check_cases(for_hopper, dtype, default_operand(dtype, false));
}

// More tiles than the ring holds, in one launch and in several.
TEST(contrastive_losses_on_hopper_have_no_seam_between_tiles) {
  const Hopper asked;
  ContrastCase shape{{700}, {}, 70, 0.5, true, ContrastKind::log_sum_exp};
  shape.busy_blocks = 1;
  const ContrastInput input = input_of(shape, Dtype::bfloat16);
  for (const std::int64_t stored_bytes : {shape.stored_bytes, std::int64_t{0}}) {
    shape.stored_bytes = stored_bytes;
    check_case(shape, Dtype::bfloat16,
               same_in_every_schedule([&] { return ours(shape, input, Dtype::bfloat16, Operand::bfloat16); }));
    if (!in_all_schedules) break;
  }
}

// Problems that Hopper's kernels do not support give bitwise the results of all other devices.
TEST(only_contrastive_losses_of_such_rows_run_on_hopper) {
  use_schedule(0);
  const auto runs_there = [](const ContrastCase& shape, Dtype dtype) {
    const ContrastAnswer by_warps = found(shape, dtype);
    const Hopper asked;
    return !(found(shape, dtype) == by_warps);
  };
  CHECK(runs_there({{70, 70}, {}, 70, 0.5}, Dtype::bfloat16));
  CHECK(!runs_there({{70, 70}, {}, 64, 0.5}, Dtype::bfloat16));
  CHECK(!runs_there({{70, 70}, {}, 129, 0.5}, Dtype::bfloat16));
  CHECK(!runs_there({{70, 70}, {}, 70, 0.5}, Dtype::float32));
  CHECK(!runs_there({{70}, {70}, 70, 0.5}, Dtype::bfloat16));
  CHECK(!runs_there({{70, 70}, {}, 70, 0.5, true, ContrastKind::softmax, 0, false, 0.2}, Dtype::bfloat16));
}

}  // namespace
}  // namespace gramless::cuda
