// Gradients of HSIC from emulated kernels against central differences in long double.
#include "naive_gram.hpp"

namespace gramless::cuda {
namespace {

struct Case {
  std::int64_t n, p, q;
  double sigma_x, sigma_y;  // 0: linear
  bool unbiased;
};
const double loss_weights[3] = {1.5, -0.2, 0.3};

// A matrix with one changed entry.
struct Moved {
  const DeviceMatrix& x;
  std::int64_t i, k;
  double by;

  std::int64_t rows() const { return x.rows(); }
  std::int64_t cols() const { return x.cols(); }
  double value(std::int64_t row, std::int64_t col) const { return x.value(row, col) + (row == i && col == k ? by : 0); }
};

long double loss(const Moved& x, const Moved& y, const Case& shape) {
  const NaiveGram<long double> k(x, shape.sigma_x), l(y, shape.sigma_y);
  return static_cast<long double>(loss_weights[0]) * k.hsic(l, shape.unbiased) +
         static_cast<long double>(loss_weights[1]) * k.hsic(k, shape.unbiased) +
         static_cast<long double>(loss_weights[2]) * l.hsic(l, shape.unbiased);
}

std::vector<double> gradients(const DeviceMatrix& x, const DeviceMatrix& y, const Case& shape, Operand operand) {
  const auto n = static_cast<std::size_t>(shape.n);
  const Dtype dtype = x.view().dtype;
  const DeviceMemory values(3 * sizeof(double)), row_sums(2 * n * sizeof(double)), bandwidths(2 * sizeof(double)),
      weights(3 * sizeof(double));
  const DeviceMemory grad_x(n * static_cast<std::size_t>(shape.p) * bytes_of(dtype)),
      grad_y(n * static_cast<std::size_t>(shape.q) * bytes_of(dtype));
  std::copy(loss_weights, loss_weights + 3, weights.as<double>());
  HsicGradTask task;
  HsicTask& forward = task.forward;
  forward.x = x.view();
  forward.y = y.view();
  forward.kernel_x = kernel_of(shape.sigma_x);
  forward.kernel_y = kernel_of(shape.sigma_y);
  forward.estimator = shape.unbiased ? Estimator::unbiased : Estimator::biased;
  forward.operand = operand;
  forward.values = values.as<double>();
  forward.row_sums = row_sums.as<double>();
  forward.bandwidths = bandwidths.as<double>();
  const DeviceMemory scratch(hsic_scratch_bytes(forward));
  CHECK(succeeded(hsic(forward, scratch.as<char>(), nullptr)));
  task.weights = weights.as<double>();
  task.grad_x = grad_x.as<char>();
  task.grad_y = grad_y.as<char>();
  const DeviceMemory grad_scratch(hsic_grad_scratch_bytes(task));
  CHECK(succeeded(hsic_grad(task, grad_scratch.as<char>(), nullptr)));
  std::vector<double> found;
  for (const auto& [memory, width] : {std::pair{&grad_x, shape.p}, std::pair{&grad_y, shape.q}})
    for (std::int64_t i = 0; i < shape.n * width; i++)
      found.push_back(load(dtype, memory->as<char>() + i * static_cast<std::int64_t>(bytes_of(dtype))));
  return found;
}

// The largest error over some entries, relative to the largest gradient.
double error_of(const Case& shape, Dtype dtype, Operand operand) {
  const DeviceMatrix x(dtype, shape.n, shape.p, normal_entries(3, 2));
  const DeviceMatrix y(dtype, shape.n, shape.q, [&](std::int64_t i, std::int64_t k) {
    return std::sin(3 * x.value(i, k % shape.p)) + x.value(i, 0);
  });
  const std::vector<double> ours = gradients(x, y, shape, operand);
  double largest = 0, error = 0;
  for (const double value : ours) largest = std::max(largest, std::abs(value));
  for (std::size_t e = 0; e < ours.size(); e += ours.size() / 12 + 1) {
    const bool of_x = e < static_cast<std::size_t>(shape.n * shape.p);
    const std::int64_t width = of_x ? shape.p : shape.q,
                       at = static_cast<std::int64_t>(e) - (of_x ? 0 : shape.n * shape.p);
    const double step = 1e-5;
    const auto moved = [&](double by) {
      return loss({x, at / width, at % width, of_x ? by : 0}, {y, at / width, at % width, of_x ? 0 : by}, shape);
    };
    const auto truth = static_cast<double>((moved(step) - moved(-step)) / (2 * static_cast<long double>(step)));
    error = std::max(error, std::abs(ours[e] - truth) / largest);
    if (std::isnan(ours[e])) error = INFINITY;
  }
  if (std::getenv("GRAMLESS_VERBOSE")) std::printf("  %s: error %.2e\n", name_of(dtype), error);
  return error;
}

const Case cases[] = {{6, 1, 2, 0, 0, true},      {20, 5, 3, 0, 0, false},   {33, 9, 70, 2.5, 0, true},
                      {70, 40, 3, 6, 1.5, false}, {131, 3, 2, 1.5, 1, true}, {40, 150, 6, 0, 2, true}};

TEST(gradients_of_hsic_are_its_differences) {
  int number = 0;
  for (const Case& shape : cases) {
    use_schedule(number++ % schedules);
    CHECK(error_of(shape, Dtype::float32, Operand::split) < 3e-6);
    CHECK(error_of(shape, Dtype::float32, Operand::tf32) < 8 * epsilon_of(Dtype::float16));
    CHECK(error_of(shape, Dtype::float64, Operand::float64) < 1e-9);  // error of central differences
    CHECK(error_of(shape, Dtype::float16, Operand::float16) < 8 * epsilon_of(Dtype::float16));
    CHECK(error_of(shape, Dtype::bfloat16, Operand::bfloat16) < 8 * epsilon_of(Dtype::bfloat16));
  }
}

TEST(gradients_of_hsic_have_the_same_bits_in_every_schedule) {
  const Case shape{131, 3, 40, 1.5, 0, true};
  const DeviceMatrix x(Dtype::float32, shape.n, shape.p, normal_entries(3)),
      y(Dtype::float32, shape.n, shape.q, normal_entries(4));
  same_in_every_schedule([&] { return gradients(x, y, shape, Operand::split); });
}

}  // namespace
}  // namespace gramless::cuda
