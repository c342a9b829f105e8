// HSIC from emulated kernels against n x n code in float64, beside naive code in the same dtype.
#include "hsic_problem.hpp"

namespace gramless::cuda {
namespace {

TEST(hsic_has_the_same_bits_in_every_schedule) {
  for (const Dtype dtype : {Dtype::float32, Dtype::bfloat16, Dtype::float64}) {
    if (dtype != Dtype::float32 && !in_all_schedules) continue;
    const Layers layers = layers_of(dtype, 140, 40, 70, 1, 1000);
    const Values found = same_in_every_schedule([&] { return ours(layers, true, default_operand(dtype, false)); });
    const double truth = naive<long double>(layers, true).cka();
    CHECK(std::abs(found.cka() - truth) < (dtype == Dtype::bfloat16 ? 1e-3 : 2e-6));
  }
}

TEST(tf32_is_worth_three_digits) {
  use_schedule(0);
  const Layers layers = layers_of(Dtype::float32, 70, 40, 33, 2);
  const double error = ours(layers, true, Operand::tf32).cka() - naive(layers, true, Dtype::float64).cka();
  CHECK(std::abs(error) < 1e-3 && error != 0);
}

// Far from the origin, constant, with a NaN, with equal rows.
TEST(hsic_of_unusual_rows) {
  use_schedule(3);
  for (int kernels = 0; kernels < 4; kernels++) {
    const Layers far = layers_of(Dtype::float32, 60, 20, 9, kernels, 1000);
    CHECK(std::abs(ours(far, true, Operand::split).cka() - naive<long double>(far, true).cka()) < 1e-5);
    Layers constant = layers_of(Dtype::float32, 60, 20, 9, kernels);
    constant.x = DeviceMatrix(Dtype::float32, 60, 20, [](std::int64_t, std::int64_t) { return 0.1; });
    CHECK(ours(constant, true, Operand::split).xx == 0);
    Layers broken = layers_of(Dtype::bfloat16, 60, 20, 9, kernels);
    broken.x = DeviceMatrix(Dtype::bfloat16, 60, 20, [](std::int64_t i, std::int64_t k) {
      return i == 41 && k == 3 ? NAN : static_cast<double>(i % 7 + k);
    });
    const Values values = ours(broken, false, Operand::bfloat16);
    CHECK(std::isnan(values.xy) && std::isnan(values.xx) && !std::isnan(values.yy));
    Layers equal = layers_of(Dtype::float32, 60, 20, 9, kernels);
    equal.x = DeviceMatrix(Dtype::float32, 60, 20, [](std::int64_t i, std::int64_t k) {
      return std::sin(static_cast<double>(i % 3 * 20 + k));
    });
    if (equal.sigma_x > 0) equal.sigma_x = 1e-6;  // 1 for equal rows, else 0
    CHECK(std::abs(ours(equal, true, Operand::split).cka() - naive<long double>(equal, true).cka()) < 1e-6);
  }
}

TEST(hsic_has_spreads_as_accurate_as_naive_code) {
  use_schedule(1);
  for (const Dtype dtype : {Dtype::float32, Dtype::bfloat16, Dtype::float64}) {
    Accuracy spread;
    for (int kernels = 0; kernels < 4; kernels++)
      for (const bool unbiased : {true, false}) {
        const Layers layers = layers_of(dtype, 67, 20, 9, kernels);
        const DeviceMemory spreads(2 * sizeof(double));
        HsicTask task;
        task.spreads = spreads.as<double>();
        ours(layers, unbiased, default_operand(dtype, false), task);
        const std::vector<double> found = spreads.values<double>();
        for (const bool of_y : {false, true}) {
          const DeviceMatrix& rows = of_y ? layers.y : layers.x;
          const double sigma = of_y ? layers.sigma_y : layers.sigma_x;
          const auto truth = static_cast<double>(NaiveGram<long double>(rows, sigma).spread());
          const double naive_value = dtype == Dtype::float64
                                         ? NaiveGram<double>(rows, sigma).spread()
                                         : static_cast<double>(NaiveGram<float>(rows, sigma).spread());
          spread.add(found[of_y] / truth, naive_value / truth, 1);
        }
      }
    CHECK(spread.holds(dtype, name_of(dtype)));
  }
}

TEST(hsic_says_what_is_wrong) {
  HsicTask task;
  const DeviceMatrix x(Dtype::float32, 5, 2, normal_entries(1)), y(Dtype::float32, 6, 2, normal_entries(2));
  task.x = x.view();
  task.y = y.view();
  CHECK(hsic(task, nullptr, nullptr) == std::string("hsic: x and y differ in rows"));
  task.y.rows = task.x.rows = 3;
  CHECK(hsic(task, nullptr, nullptr) == std::string("hsic: too few rows for the estimator"));
  task.x.dtype = Dtype::int32;
  CHECK(hsic(task, nullptr, nullptr) != nullptr && hsic_scratch_bytes(task) == 0);
}

// exp(-|x_i - x_j| / sigma), from differences of rows.
std::vector<double> laplace_gram(const DeviceMatrix& x, double sigma) {
  std::vector<double> values;
  for (std::int64_t i = 0; i < x.rows(); i++)
    for (std::int64_t j = 0; j < x.rows(); j++) {
      double sum = 0;
      for (std::int64_t k = 0; k < x.cols(); k++) sum += std::pow(x.value(i, k) - x.value(j, k), 2);
      values.push_back(std::exp(-std::sqrt(sum) / sigma));
    }
  return values;
}

double unbiased_hsic_of(const std::vector<double>& a, const std::vector<double>& b, std::size_t rows) {
  const double n = static_cast<double>(rows);
  double products = 0, row_products = 0, total_a = 0, total_b = 0;
  for (std::size_t i = 0; i < rows; i++) {
    double row_a = 0, row_b = 0;
    for (std::size_t j = 0; j < rows; j++) {
      if (i == j) continue;
      products += a[i * rows + j] * b[i * rows + j];
      row_a += a[i * rows + j];
      row_b += b[i * rows + j];
    }
    row_products += row_a * row_b;
    total_a += row_a;
    total_b += row_b;
  }
  return (products + total_a * total_b / ((n - 1) * (n - 2)) - 2 / (n - 2) * row_products) / (n * (n - 3));
}

// Clusters of rows 1e-4 apart, and a bandwidth so small that only pairs within clusters count.
TEST(laplace_hsic_has_the_distances_of_near_rows) {
  use_schedule(0);
  for (const Dtype dtype : {Dtype::float32, Dtype::float64}) {
    Layers layers = layers_of(dtype, 140, 40, 20, 3);
    const auto noise = normal_entries(5, 0);
    layers.x = DeviceMatrix(dtype, 140, 40, [&](std::int64_t i, std::int64_t k) {
      return std::sin(static_cast<double>(i % 5 * 41 + 3 * k)) + 1e-4 * noise(i, k);
    });
    HsicTask task;
    task.x = layers.x.view();
    task.y = layers.y.view();
    task.kernel_x = {.formula = Laplace{}, .sigma = 1e-3};
    task.kernel_y = {.formula = Laplace{}, .sigma = 5.0};
    task.operand = default_operand(dtype, false);
    const DeviceMemory values(3 * sizeof(double)), scratch(hsic_scratch_bytes(task));
    task.values = values.as<double>();
    CHECK(succeeded(hsic(task, scratch.as<char>(), nullptr)));
    const std::vector<double> found = values.values<double>();
    const std::vector<double> k = laplace_gram(layers.x, 1e-3), l = laplace_gram(layers.y, 5.0);
    const double truth =
        unbiased_hsic_of(k, l, 140) / std::sqrt(unbiased_hsic_of(k, k, 140) * unbiased_hsic_of(l, l, 140));
    CHECK(std::abs(found[0] / std::sqrt(found[1] * found[2]) - truth) < (dtype == Dtype::float64 ? 1e-12 : 2e-6));
  }
}

const std::vector<Shape> ragged = {{2, 1, 3}, {4, 1, 1}, {5, 33, 2}, {63, 31, 64}, {65, 100, 7}};
const std::vector<Shape> around_tiles = {{127, 32, 65}, {128, 64, 1}, {129, 17, 33}, {257, 5, 40}};

TEST(hsic_of_every_dtype_is_as_accurate_as_naive_code) {
  use_schedule(0);
  check_accuracy(Dtype::float32, Operand::split, ragged);
  check_accuracy(Dtype::float16, Operand::float16, ragged);
  check_accuracy(Dtype::bfloat16, Operand::bfloat16, ragged);
  check_accuracy(Dtype::bfloat16, Operand::split, ragged);
  check_accuracy(Dtype::float64, Operand::float64, ragged);
}

TEST(hsic_around_tile_sizes_is_as_accurate_as_naive_code) {
  use_schedule(2);
  check_accuracy(Dtype::float32, Operand::split, around_tiles);
  check_accuracy(Dtype::bfloat16, Operand::bfloat16, around_tiles);
  check_accuracy(Dtype::float64, Operand::float64, around_tiles);
}

}  // namespace
}  // namespace gramless::cuda
