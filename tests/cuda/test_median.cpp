// The median distance from emulated kernels against sorting all of them.
#include <algorithm>
#include <cmath>

#include "device_matrix.hpp"

namespace gramless::cuda {
namespace {

double true_median(const DeviceMatrix& x, bool include_diagonal) {
  std::vector<double> distances;
  for (std::int64_t i = 0; i < x.rows(); i++)
    for (std::int64_t j = 0; j < x.rows(); j++) {
      if (i == j && !include_diagonal) continue;
      double distance2 = 0;
      for (std::int64_t k = 0; k < x.cols(); k++) distance2 += std::pow(x.value(i, k) - x.value(j, k), 2);
      distances.push_back(distance2);
    }
  std::sort(distances.begin(), distances.end());
  return 0.5 * (distances[(distances.size() - 1) / 2] + distances[distances.size() / 2]);
}

double our_median(const DeviceMatrix& x, bool include_diagonal, Operand operand) {
  const DeviceMemory median(sizeof(double));
  const MedianTask task{x.view(), include_diagonal, operand, median.as<double>()};
  const DeviceMemory scratch(median_scratch_bytes(task));
  CHECK(succeeded(median_squared_distance(task, scratch.as<char>(), nullptr)));
  return *median.as<double>();
}

TEST(median_of_random_rows_is_that_of_sorted_distances) {
  for (const std::int64_t n : {2, 3, 5, 64, 131})
    for (const bool include_diagonal : {false, true}) {
      use_schedule(static_cast<int>(n % schedules));
      const DeviceMatrix x(Dtype::float32, n, 17, normal_entries(3, 5)),
          wide(Dtype::float64, n, 9, normal_entries(4, 5));
      const double truth = true_median(x, include_diagonal), of_wide = true_median(wide, include_diagonal);
      CHECK(std::abs(our_median(x, include_diagonal, Operand::split) - truth) <= 1e-6 * (1 + truth));
      CHECK(std::abs(our_median(wide, include_diagonal, Operand::float64) - of_wide) <= 1e-13 * (1 + of_wide));
    }
}

// Integers, which float32 and bfloat16 hold exactly: many equal distances, and equal rows.
TEST(median_of_integers_is_exact) {
  const DeviceMatrix x(Dtype::bfloat16, 90, 4, [](std::int64_t i, std::int64_t k) {
    const std::int64_t value = (i * 7 + k * 3) % 5;  // columns have the mean 2
    return static_cast<double>(value);
  });
  for (const int number : chosen_schedules) {
    use_schedule(number);
    for (const bool include_diagonal : {false, true})
      for (const Operand operand : {Operand::split, Operand::bfloat16, Operand::tf32}) {
        if (operand != Operand::split && !in_all_schedules) continue;
        CHECK(our_median(x, include_diagonal, operand) == true_median(x, include_diagonal));
      }
  }
}

TEST(median_of_equal_rows_is_0_and_that_of_nan_is_nan) {
  use_schedule(1);
  const DeviceMatrix equal(Dtype::float32, 70, 3,
                           [](std::int64_t, std::int64_t k) { return 0.1 * static_cast<double>(k); });
  CHECK(our_median(equal, false, Operand::split) == 0);
  const DeviceMatrix broken(Dtype::float32, 70, 3,
                            [](std::int64_t i, std::int64_t k) { return i == 3 && k == 1 ? NAN : 1.0; });
  CHECK(std::isnan(our_median(broken, false, Operand::split)));
}

// 50 equal rows of 70: 1225 of 2415 distances are 0, 2500 of 4900 with the diagonal's.
TEST(median_of_mostly_equal_rows_is_that_of_the_others) {
  const auto value = [](std::int64_t i, std::int64_t k) {
    return i < 50 ? 3.0 : static_cast<double>((i * i * 7 + k * (i + 3)) % 23);
  };
  use_schedule(3);
  for (const bool wide : {false, true}) {
    const DeviceMatrix x(wide ? Dtype::float64 : Dtype::float32, 70, 4, value);
    std::vector<double> others;
    for (std::int64_t i = 0; i < 70; i++)
      for (std::int64_t j = 0; j < i; j++) {
        double distance2 = 0;
        for (std::int64_t k = 0; k < 4; k++) distance2 += std::pow(x.value(i, k) - x.value(j, k), 2);
        if (distance2 > 0) others.push_back(distance2);
      }
    CHECK(others.size() <= 1190);
    std::sort(others.begin(), others.end());
    const double truth = 0.5 * (others[(others.size() - 1) / 2] + others[others.size() / 2]);
    for (const bool include_diagonal : {false, true}) {
      const double found = our_median(x, include_diagonal, wide ? Operand::float64 : Operand::split);
      CHECK(std::abs(found - truth) <= (wide ? 1e-13 : 1e-6) * truth);
    }
  }
}

TEST(hsic_takes_its_bandwidth_from_the_median) {
  use_schedule(4);
  const DeviceMatrix x(Dtype::float32, 80, 12, normal_entries(8));
  HsicTask task;
  task.x = task.y = x.view();
  task.kernel_x = {.formula = Rbf{}, .scale = 0.5, .include_diagonal = true};
  task.kernel_y = {.formula = Rbf{}, .sigma = 0.5 * std::sqrt(true_median(x, true))};
  const DeviceMemory values(3 * sizeof(double)), bandwidths(2 * sizeof(double)), scratch(hsic_scratch_bytes(task));
  task.values = values.as<double>();
  task.bandwidths = bandwidths.as<double>();
  CHECK(succeeded(hsic(task, scratch.as<char>(), nullptr)));
  const std::vector<double> found = values.values<double>(), sigma2 = bandwidths.values<double>();
  CHECK(std::abs(sigma2[0] - sigma2[1]) <= 1e-6 * sigma2[1]);
  CHECK(std::abs(found[1] - found[2]) <= 1e-5 * found[2] && std::abs(found[0] - found[2]) <= 1e-5 * found[2]);
}

}  // namespace
}  // namespace gramless::cuda
