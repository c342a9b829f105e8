// HSIC by the kernels of compute capability 9.0, and that they run only where GRAMLESS_HOPPER is 1.
#include "hopper.hpp"
#include "hsic_problem.hpp"

namespace gramless::cuda {
namespace {

TEST(hopper_kernels_run_where_they_are_wanted_and_on_such_a_device_only) {
  CHECK(!hopper_wanted());
  {
    const Hopper asked;
    CHECK(hopper_wanted());
    emulator::options.capability = 100;
    CHECK(!hopper_wanted());
  }
  for (const char* const refused : {"0", "10", ""}) {
    const Hopper other(refused);
    CHECK(!hopper_wanted());
  }
}

// Several tiles and turns, depths that end within a box.
TEST(hsic_on_hopper_has_the_same_bits_in_every_schedule) {
  const Hopper asked;
  for (const Dtype dtype : {Dtype::bfloat16, Dtype::float16, Dtype::float32}) {
    if (dtype != Dtype::bfloat16 && !in_all_schedules) continue;
    const Layers layers = layers_of(dtype, 140, 40, 470, 1, 10);
    const Values found = same_in_every_schedule([&] { return ours(layers, true, default_operand(dtype, false)); });
    const double truth = naive<long double>(layers, true).cka();
    CHECK(std::abs(found.cka() - truth) < (dtype == Dtype::float32 ? 2e-6 : 2e-3));
  }
}

// Slots without a pair, too.
TEST(how_many_tiles_a_block_on_hopper_has_does_not_matter) {
  const Hopper asked;
  HsicTask one_block;
  one_block.busy_blocks = 1;
  for (const std::int64_t rows : {140, 400}) {
    const Layers layers = layers_of(Dtype::bfloat16, rows, 3, 70, 1);
    if (rows == 400 && !in_all_schedules) continue;
    const Values found = same_in_every_schedule([&] { return ours(layers, true, Operand::bfloat16, one_block); });
    CHECK(found == ours(layers, true, Operand::bfloat16));
    emulator::options.capability = 80;
    const Values by_warps = ours(layers, true, Operand::bfloat16);
    emulator::options.capability = 90;
    CHECK(std::abs(found.cka() - by_warps.cka()) < 1e-6 && !(found == by_warps));
  }
}

const std::vector<Shape> ragged = {{2, 1, 3}, {4, 1, 1}, {5, 33, 2}, {63, 31, 64}, {65, 100, 7}};
const std::vector<Shape> around_tiles = {{127, 32, 65}, {128, 64, 1}, {129, 17, 33}, {257, 5, 40}};

TEST(hsic_on_hopper_is_as_accurate_as_naive_code) {
  const Hopper asked;
  for (int schedule = 0; schedule < schedules; schedule++) {
    use_schedule(schedule);
    const auto& shapes = schedule % 2 == 0 ? ragged : around_tiles;
    check_accuracy(Dtype::float16, Operand::float16, shapes);
    check_accuracy(Dtype::bfloat16, Operand::bfloat16, shapes);
    check_accuracy(Dtype::float32, Operand::split, shapes);
  }
}

}  // namespace
}  // namespace gramless::cuda
