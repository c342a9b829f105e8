// Similarity distillation and its gradients from emulated kernels against n x m code in long double, beside naive code
// in the dtype of the computation.
#include <cmath>
#include <limits>
#include <numeric>

#include "device_matrix.hpp"

namespace gramless::cuda {
namespace {

struct Case {
  std::int64_t rows, queued, width, teacher_width;  // 0: one queue for both
  double temperature, teacher_temperature;
  bool normalize = true, temperature_on_device = false;
};

struct Input {
  std::vector<DeviceMatrix> arrays;  // student, teacher, queue and perhaps the teacher's
  std::vector<double> weights;
};

struct Answer {
  std::vector<double> losses, grad;
  double temperature = 0;
  bool operator==(const Answer&) const = default;
};

Input input_of(const Case& shape, Dtype dtype) {
  Input input;
  const std::int64_t teacher_width = shape.teacher_width ? shape.teacher_width : shape.width;
  unsigned seed = static_cast<unsigned>(shape.rows);
  const auto add = [&](std::int64_t rows, std::int64_t width) {
    input.arrays.emplace_back(dtype, rows, width, normal_entries(seed, 0.2), seed % 2 == 1, seed % 3);
    seed++;
  };
  add(shape.rows, shape.width);
  add(shape.rows, teacher_width);
  add(shape.queued, shape.width);
  if (shape.teacher_width) add(shape.queued, teacher_width);
  for (std::int64_t i = 0; i < shape.rows; i++) input.weights.push_back(0.01 + 0.001 * static_cast<double>(i % 5));
  return input;
}

template <class T>
class Naive {
 public:
  Naive(const Case& shape, const Input& input) : shape_(shape), input_(input) {
    for (std::size_t i = 0; i < static_cast<std::size_t>(shape.rows); i++) add_row(i);
    answer_.temperature = static_cast<double>(by_temperature_);
  }
  const Answer& answer() const { return answer_; }

 private:
  using Row = std::vector<T>;

  static T dot(const Row& a, const Row& b) { return std::inner_product(a.begin(), a.end(), b.begin(), T(0)); }

  Row row(std::size_t array, std::size_t i, T* length = nullptr) const {
    const DeviceMatrix& x = input_.arrays[array];
    Row row;
    for (std::int64_t k = 0; k < x.cols(); k++) row.push_back(static_cast<T>(x.value(static_cast<std::int64_t>(i), k)));
    const T norm = shape_.normalize ? std::sqrt(dot(row, row)) : T(1);
    for (T& value : row) value /= norm;
    if (length) *length = norm;
    return row;
  }

  // The softmax over the keys and, if requested, the logits and the logarithm of their sum.
  Row softmax(const Row& z, std::size_t keys, double temperature, Row* logits = nullptr, T* log_sum = nullptr) const {
    Row values;
    for (std::size_t j = 0; j < static_cast<std::size_t>(shape_.queued); j++)
      values.push_back(dot(z, row(keys, j)) / static_cast<T>(temperature));
    if (logits) *logits = values;
    const T top = *std::max_element(values.begin(), values.end());
    T sum = 0;
    for (T& value : values) sum += value = std::exp(value - top);
    for (T& value : values) value /= sum;
    if (log_sum) *log_sum = top + std::log(sum);
    return values;
  }

  void add_row(std::size_t i) {
    T length = 1, log_sum = 0, loss = 0;
    const Row z = row(0, i, &length);
    Row logits;
    const Row q = softmax(z, 2, shape_.temperature, &logits, &log_sum),
              p = softmax(row(1, i), shape_.teacher_width ? 3 : 2, shape_.teacher_temperature);
    Row dz(z.size());
    const T weight = static_cast<T>(input_.weights[i]), temperature = static_cast<T>(shape_.temperature);
    for (std::size_t j = 0; j < q.size(); j++) {
      loss += p[j] * (log_sum - logits[j]);
      const T slope = weight * (q[j] - p[j]);
      by_temperature_ -= slope * logits[j] / temperature;
      const Row key = row(2, j);
      for (std::size_t k = 0; k < z.size(); k++) dz[k] += slope * key[k] / temperature;
    }
    answer_.losses.push_back(static_cast<double>(loss));
    const T along = shape_.normalize ? dot(dz, z) : T(0);
    for (std::size_t k = 0; k < z.size(); k++)
      answer_.grad.push_back(static_cast<double>((dz[k] - along * z[k]) / length));
  }

  const Case& shape_;
  const Input& input_;
  Answer answer_;
  T by_temperature_ = 0;
};

Answer ours(const Case& shape, const Input& input, bool of_mean = false) {
  const Dtype dtype = input.arrays[0].view().dtype;
  const auto rows = static_cast<std::size_t>(shape.rows);
  const DeviceMemory losses(rows * sizeof(double)), saved(4 * rows * sizeof(double)), mean(sizeof(double)),
      weights(rows * sizeof(double)), temperature(sizeof(double)), by_temperature(sizeof(double)),
      grad(rows * static_cast<std::size_t>(shape.width) * bytes_of(dtype));
  std::copy(input.weights.begin(), input.weights.end(), weights.as<double>());
  *temperature.as<double>() = shape.temperature;
  DistillTask problem;
  problem.student = input.arrays[0].view();
  problem.teacher = input.arrays[1].view();
  problem.queue = input.arrays[2].view();
  if (shape.teacher_width) problem.teacher_queue = input.arrays[3].view();
  problem.temperature = shape.temperature_on_device ? NAN : shape.temperature;
  problem.device_temperature = shape.temperature_on_device ? temperature.as<double>() : nullptr;
  problem.teacher_temperature = shape.teacher_temperature;
  problem.normalize = shape.normalize;
  const DistillForwardTask forward{problem, losses.as<double>(), saved.as<double>(), mean.as<double>()};
  const DeviceMemory forward_scratch(distill_forward_scratch_bytes(forward));
  CHECK(succeeded(distill_forward(forward, forward_scratch.as<char>(), nullptr)));
  for (const std::uint64_t bits : saved.values<std::uint64_t>()) CHECK(~bits != 0);  // everything was written
  DistillBackwardTask backward;
  backward.problem = problem;
  backward.saved = saved.as<double>();
  backward.weights = of_mean ? nullptr : weights.as<double>();
  const double scale_of_mean = 0.01 * static_cast<double>(rows);
  backward.scale_of_mean = of_mean ? &scale_of_mean : nullptr;
  backward.grad = grad.as<char>();
  backward.grad_temperature = by_temperature.as<double>();
  const DeviceMemory backward_scratch(distill_backward_scratch_bytes(backward));
  CHECK(succeeded(distill_backward(backward, backward_scratch.as<char>(), nullptr)));
  Answer answer{losses.values<double>(), {}, *by_temperature.as<double>()};
  const double sum = std::accumulate(answer.losses.begin(), answer.losses.end(), 0.0);
  const double off = std::abs(*mean.as<double>() - sum / static_cast<double>(rows));
  CHECK(std::isnan(sum) ? std::isnan(off) : off <= 1e-12 * (1 + std::abs(sum)));
  for (std::int64_t i = 0; i < shape.rows * shape.width; i++)
    answer.grad.push_back(load(dtype, grad.as<char>() + i * static_cast<std::int64_t>(bytes_of(dtype))));
  return answer;
}

double largest(const std::vector<double>& values) {
  double found = 0;
  for (const double value : values) found = std::max(found, std::abs(value));
  return found;
}

struct DistillAccuracy {
  Accuracy loss, gradient, temperature;

  void add(const Case& shape, const Input& input, const Answer& our) {
    const Dtype dtype = input.arrays[0].view().dtype;
    const Answer truth = Naive<long double>(shape, input).answer(), naive = dtype == Dtype::float64
                                                                                ? Naive<double>(shape, input).answer()
                                                                                : Naive<float>(shape, input).answer();
    const double slope = 0.012 / std::abs(shape.temperature),
                 sharpness = std::max(1.0, 0.05 / shape.teacher_temperature);
    const double loss_scale = sharpness * std::max(1.0, largest(truth.losses)),
                 gradient_scale = sharpness * std::max(largest(truth.grad), 1e-3 * slope),
                 temperature_scale =
                     sharpness * std::max(std::abs(truth.temperature), static_cast<double>(shape.rows) * slope);
    for (std::size_t i = 0; i < truth.losses.size(); i++)
      loss.add(our.losses[i] / loss_scale, naive.losses[i] / loss_scale, truth.losses[i] / loss_scale);
    CHECK(our.grad.size() == truth.grad.size());
    for (std::size_t i = 0; i < truth.grad.size(); i++)
      gradient.add(our.grad[i] / gradient_scale, naive.grad[i] / gradient_scale, truth.grad[i] / gradient_scale);
    temperature.add(our.temperature / temperature_scale, naive.temperature / temperature_scale,
                    truth.temperature / temperature_scale);
  }
  // Half inputs are computed in float32, and only their gradients rounded.
  void check(Dtype dtype) const {
    const Dtype computed = dtype == Dtype::float64 ? dtype : Dtype::float32;
    CHECK(loss.holds(computed, name_of(dtype)));
    CHECK(gradient.holds(dtype, name_of(dtype)));
    CHECK(temperature.holds(computed, name_of(dtype)));
  }
};

void check_cases(const std::vector<Case>& cases, Dtype dtype) {
  DistillAccuracy accuracy;
  for (const Case& shape : cases) {
    const Input input = input_of(shape, dtype);
    accuracy.add(shape, input, ours(shape, input));
  }
  accuracy.check(dtype);
}

TEST(distillation_has_the_same_bits_in_every_schedule) {
  for (const Dtype dtype : {Dtype::float32, Dtype::float64}) {
    if (dtype != Dtype::float32 && !in_all_schedules) continue;
    for (const Case& shape : {Case{140, 150, 40, 20, 0.2, 0.05}, Case{30, 300, 20, 0, 0.1, 0.1, false}}) {
      if (!shape.normalize && !in_all_schedules) continue;
      const Input input = input_of(shape, dtype);
      DistillAccuracy accuracy;
      accuracy.add(shape, input, same_in_every_schedule([&] { return ours(shape, input); }));
      accuracy.check(dtype);
    }
  }
}

// More tiles than strips, so that blocks go from one to the next, and more of the width than registers hold.
TEST(distillation_has_no_seam) {
  if (!in_all_schedules) return;
  use_schedule(schedules - 1);
  for (const Case& shape : {Case{4, 1100, 20, 7, 0.5, 0.1}, Case{9, 70, 140, 0, 0.2, 0.02}})
    check_cases({shape}, Dtype::float32);
}

TEST(distillation_with_a_temperature_on_the_device) {
  use_schedule(2);
  Case shape{20, 30, 8, 5, 0.3, 0.1};
  const Input input = input_of(shape, Dtype::float32);
  const Answer of_number = ours(shape, input);
  shape.temperature_on_device = true;
  CHECK(ours(shape, input) == of_number);
  shape.temperature = 0;
  for (const double loss : ours(shape, input).losses) CHECK(std::isnan(loss));
}

TEST(distillation_of_the_mean) {
  use_schedule(1);
  const Case shape{20, 30, 8, 5, 0.3, 0.1};
  Input input = input_of(shape, Dtype::float64);
  const Answer found = ours(shape, input, true);
  std::fill(input.weights.begin(), input.weights.end(), 0.01);
  DistillAccuracy accuracy;
  accuracy.add(shape, input, found);
  accuracy.check(Dtype::float64);
}

// A NaN affects only its row; a teacher with probability 1 for one key gives -log q of that key.
TEST(distillation_of_unusual_rows) {
  use_schedule(4);
  const Case shape{6, 5, 5, 0, 0.5, 1e-4};
  Input input = input_of(shape, Dtype::float32);
  const auto unit = [](std::int64_t i, std::int64_t k) { return i % 5 == k ? 1.0 : 0.0; };
  input.arrays[1] = DeviceMatrix(Dtype::float32, 6, 5, unit);
  input.arrays[2] = DeviceMatrix(Dtype::float32, 5, 5, unit);
  input.arrays[0] =
      DeviceMatrix(Dtype::float32, 6, 5, [&](std::int64_t i, std::int64_t k) { return i == 2 ? NAN : unit(i, k); });
  const Answer found = ours(shape, input);
  for (std::size_t i = 0; i < 6; i++)
    CHECK(i == 2 ? std::isnan(found.losses[i]) : std::abs(found.losses[i] - std::log1p(4 * std::exp(-2.0))) < 1e-6);
  for (std::size_t i = 0; i < 30; i++) CHECK(std::isnan(found.grad[i]) == (i / 5 == 2));
}

TEST(distillation_says_what_is_wrong) {
  const Input input = input_of({5, 7, 3, 4, 0.2, 0.1}, Dtype::float32);
  DistillForwardTask task;
  task.problem.student = input.arrays[0].view();
  task.problem.teacher = input.arrays[1].view();
  task.problem.queue = input.arrays[2].view();
  const auto wrong = [&] { return std::string(distill_forward(task, nullptr, nullptr)); };
  CHECK(wrong() == "rows and their queue differ in width");
  task.problem.teacher_queue = input.arrays[3].view();
  task.problem.teacher_queue.rows = 6;
  CHECK(wrong() == "the queues differ in rows");
  task.problem.teacher.rows = 4;
  CHECK(wrong() == "student and teacher differ in rows");
  task.problem.teacher_temperature = 0;
  CHECK(wrong() == "temperatures must be finite and not 0");
  CHECK(distill_forward_scratch_bytes(task) == 0);
}

TEST(distilled_similarities_are_as_accurate_as_naive_code) {
  const std::vector<Case> cases = {{1, 1, 3, 2, 0.2, 0.05},          {2, 3, 1, 0, 0.2, 0.1},
                                   {5, 33, 33, 7, 0.1, 0.01},        {63, 64, 64, 0, 0.2, 0.05},
                                   {65, 129, 7, 100, 0.05, 0.02},    {20, 40, 9, 12, 1.5, 1.0, false},
                                   {20, 40, 9, 0, -0.7, 0.8, false}, {33, 31, 20, 0, 0.2, 0.01}};
  use_schedule(0);
  for (const Dtype dtype : float_dtypes) check_cases(cases, dtype);
}

}  // namespace
}  // namespace gramless::cuda
