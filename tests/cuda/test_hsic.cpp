// HSIC from emulated kernels against n x n code in float64, beside naive code in the same dtype.
#include <cmath>
#include <limits>

#include "naive_gram.hpp"

namespace gramless::cuda {
namespace {

struct Layers {
  DeviceMatrix x, y;
  double sigma_x = 0, sigma_y = 0;  // 0: linear
  Dtype dtype;
};

struct Values {
  double xy, xx, yy;
  bool operator==(const Values&) const = default;
  double cka() const { return xy / std::sqrt(xx) / std::sqrt(yy); }
};

template <class T>
Values naive(const Layers& layers, bool unbiased) {
  const NaiveGram<T> k(layers.x, layers.sigma_x), l(layers.y, layers.sigma_y);
  const auto hsic = [&](const NaiveGram<T>& a, const NaiveGram<T>& b) {
    return static_cast<double>(a.hsic(b, unbiased));
  };
  return {hsic(k, l), hsic(k, k), hsic(l, l)};
}
// Half types are summed in float32, as every library does.
Values naive(const Layers& layers, bool unbiased, Dtype dtype) {
  return dtype == Dtype::float64 ? naive<double>(layers, unbiased) : naive<float>(layers, unbiased);
}

Values ours(const Layers& layers, bool unbiased, Operand operand) {
  HsicTask task;
  task.x = layers.x.view();
  task.y = layers.y.view();
  task.kernel_x = {layers.sigma_x > 0, layers.sigma_x};
  task.kernel_y = {layers.sigma_y > 0, layers.sigma_y};
  task.estimator = unbiased ? HsicEstimator::unbiased : HsicEstimator::biased;
  task.operand = operand;
  const DeviceMemory values(3 * sizeof(double)), scratch(hsic_scratch_bytes(task));
  task.values = values.as<double>();
  CHECK(succeeded(hsic(task, scratch.as<char>(), nullptr)));
  const std::vector<double> found = values.values<double>();
  return {found[0], found[1], found[2]};
}

Layers layers_of(Dtype dtype, std::int64_t n, std::int64_t p, std::int64_t q, int kernels, double mean = 0) {
  const double sigma_x = kernels & 1 ? std::sqrt(static_cast<double>(p)) : 0,
               sigma_y = kernels & 2 ? 0.7 * std::sqrt(static_cast<double>(q)) : 0;
  const unsigned seed = static_cast<unsigned>(1000 * n + 10 * p + q);
  DeviceMatrix x(dtype, n, p, normal_entries(seed, mean));
  const auto noise = normal_entries(seed + 1);
  DeviceMatrix y(
      dtype, n, q, [&](std::int64_t i, std::int64_t k) { return x.value(i, k % p) + noise(i, k); }, n % 2 == 1, n % 3);
  return {std::move(x), std::move(y), sigma_x, sigma_y, dtype};
}

struct Shape {
  std::int64_t n, p, q;
};

void check_accuracy(Dtype dtype, Operand operand, const std::vector<Shape>& shapes) {
  Accuracy cka, self;
  for (const Shape& shape : shapes)
    for (int kernels = 0; kernels < 4; kernels++)
      for (const bool unbiased : {true, false}) {
        if ((unbiased && shape.n < 4) || (shape.n > 70 && unbiased != (kernels < 2))) continue;
        const Layers layers = layers_of(dtype, shape.n, shape.p, shape.q, kernels);
        const Values truth = naive<long double>(layers, unbiased), naive_values = naive(layers, unbiased, dtype),
                     our_values = ours(layers, unbiased, operand);
        cka.add(our_values.cka(), naive_values.cka(), truth.cka());
        self.add(our_values.xx / truth.xx, naive_values.xx / truth.xx, 1);
      }
  CHECK(cka.holds(dtype, name_of(dtype)));
  CHECK(self.holds(dtype, name_of(dtype)));
}

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
