// Problems that do not fit into a launch give an error message before it, and work is divided according to the device.
#include <string>
#include <utility>

#include "check.hpp"
#include "ops/contrast/softmax_sums.cuh"

namespace gramless::cuda {
namespace {

bool says(const char* found, const char* expected) {
  return found != nullptr && std::string(found).find(expected) != std::string::npos;
}

// Nothing is read, so memory for one number is enough.
Matrix rows_of_one_number(std::int64_t rows, Dtype dtype) {
  static const double number = 0;
  return {&number, rows, 1, 1, 1, dtype};
}

TEST(more_rows_than_a_grid_has_tables_for_are_a_sentence_before_the_launch) {
  for (const auto& [dtype, most] :
       {std::pair{Dtype::float32, std::int64_t{16776832}}, std::pair{Dtype::bfloat16, std::int64_t{16776832}},
        std::pair{Dtype::float64, std::int64_t{8388416}}}) {
    for (const std::int64_t rows : {most, most + 1}) {
      const char* const expected = "more than 16776832 rows (float64: 8388416) do not fit into a launch";
      HsicTask pair;
      pair.x = pair.y = rows_of_one_number(rows, dtype);
      pair.operand = default_operand(dtype, false);
      MedianTask median;
      median.x = pair.x;
      median.operand = pair.operand;
      HsicMatrixTask matrix;
      matrix.layers = &pair.x;
      matrix.layers_x = 1;
      matrix.operand = pair.operand;
      matrix.kernel_x = matrix.kernel_y = {.formula = Rbf{}};  // of the median distance
      const bool fits = rows == most;
      CHECK((hsic_scratch_bytes(pair) > 0) == fits);
      CHECK((median_scratch_bytes(median) > 0) == fits);
      CHECK((hsic_matrix_scratch_bytes(matrix) > 0) == fits);
      if (fits) continue;
      CHECK(says(hsic(pair, nullptr, nullptr), expected));
      CHECK(says(median_squared_distance(median, nullptr, nullptr), expected));
      CHECK(says(hsic_matrix(matrix, nullptr, nullptr), expected));
    }
  }
}

TEST(a_matrix_without_medians_has_more_rows) {
  const Matrix layer = rows_of_one_number(67107841, Dtype::float32);
  HsicMatrixTask matrix;
  matrix.layers = &layer;
  matrix.layers_x = 1;
  CHECK(hsic_matrix_scratch_bytes(matrix) == 0);
  CHECK(says(hsic_matrix(matrix, nullptr, nullptr), "more than 67107840 rows do not fit into a launch"));
  HsicGradTask grad;
  grad.forward.x = grad.forward.y = layer;
  CHECK(says(hsic_grad(grad, nullptr, nullptr), "more than 67107840 rows do not fit into a launch"));
}

TEST(blocks_come_in_whole_waves_of_the_device) {
  const auto strips = [](std::int64_t rows, std::int64_t at_once) {
    return launch_strips<BfloatOperand>(rows, rows, 1, at_once);
  };
  CHECK(strips(65536, 264) == 1);  // 512 blocks
  CHECK(strips(8192, 264) == 4);   // 64 blocks: 256 of 264 places
  CHECK(strips(8192, 132) == 2);
  CHECK(strips(8192, 1) == 1);
  CHECK(strips(128, 264) == 1);  // one block has two tiles: no more than one strip
  for (std::int64_t rows = 128; rows < 40000; rows += 896)
    for (const std::int64_t at_once : {58, 132, 264}) {
      const std::int64_t found = strips(rows, at_once), blocks = blocks_of(rows, WarpRowsShape<BfloatOperand>::rows);
      const auto share = [&](std::int64_t count) {
        return static_cast<double>(blocks * count) / static_cast<double>(blocks_of(blocks * count, at_once) * at_once);
      };
      CHECK(1 <= found && found <= 16 && share(found) >= share(1));
    }
}

TEST(devices_of_compute_capability_8_0_and_newer_are_accepted) {
  const int before = emulator::options.capability;
  for (const auto& [capability, accepted] :
       {std::pair{70, false}, {75, false}, {80, true}, {89, true}, {90, true}, {100, true}, {120, true}}) {
    emulator::options.capability = capability;
    CHECK((check_device(0) == nullptr) == accepted);
    CHECK(accepted || says(check_device(0), "older than compute capability 8.0"));
  }
  emulator::options.capability = before;
}

TEST(what_a_launch_keeps_busy_is_asked_of_the_device) {
  const std::int64_t before = emulator::options.multiprocessors;
  for (const int count : {58, 144}) {
    emulator::options.multiprocessors = count;
    CHECK(blocks_at_once(of_device, 2) == 2 * count);
    CHECK(blocks_at_once(7, 2) == 7);
  }
  emulator::options.multiprocessors = static_cast<int>(before);
}

__global__ void write_one(int* number) { *number = 1; }

TEST(after_a_launch_that_failed_no_more_are_launched_and_its_error_stays) {
  int number = 0;
  LaunchStream failed(nullptr);
  failed.note("the first error");
  failed.launch(write_one, {1}, 32, 0, &number);
  failed.clear(&number, sizeof(number));
  failed.note("another error");
  CHECK(says(failed.error(), "the first error"));
  CHECK(number == 0);
  LaunchStream fine(nullptr);
  fine.launch(write_one, {1}, 32, 0, &number);
  CHECK(fine.error() == nullptr && number == 1);
}

}  // namespace
}  // namespace gramless::cuda
