// HSIC of all pairs of layers from emulated kernels against n x n code, beside naive code in the same dtype.
#include <cmath>
#include <limits>

#include "naive_gram.hpp"

namespace gramless::cuda {
namespace {

struct Problem {
  std::vector<DeviceMatrix> layers;  // x, then y
  std::int64_t layers_x = 0;
  double sigma = 0;  // 0: linear
  bool unbiased = true;
  Dtype dtype = Dtype::float32;
  std::int64_t packed_bytes = HsicMatrixTask().packed_bytes, stored_bytes = HsicMatrixTask().stored_bytes;

  std::int64_t layers_y() const { return static_cast<std::int64_t>(layers.size()) - layers_x; }
  std::int64_t cols() const { return layers_y() > 0 ? layers_y() : layers_x; }
};

struct Answer {
  std::vector<double> values, own_values, row_sums, bandwidths;
  bool operator==(const Answer&) const = default;
};

Answer ours(const Problem& problem, Operand operand) {
  std::vector<Matrix> layers;
  for (const DeviceMatrix& layer : problem.layers) layers.push_back(layer.view());
  HsicMatrixTask task;
  task.layers = layers.data();
  task.layers_x = problem.layers_x;
  task.layers_y = problem.layers_y();
  task.kernel_x = task.kernel_y = kernel_of(problem.sigma);
  task.estimator = problem.unbiased ? Estimator::unbiased : Estimator::biased;
  task.operand = operand;
  task.packed_bytes = problem.packed_bytes;
  task.stored_bytes = problem.stored_bytes;
  const auto doubles = [](std::int64_t count) { return static_cast<std::size_t>(count) * sizeof(double); };
  const auto count = static_cast<std::int64_t>(layers.size());
  const DeviceMemory values(doubles(problem.layers_x * problem.cols())), own_values(doubles(count)),
      row_sums(doubles(count * layers[0].rows)), bandwidths(doubles(count)), scratch(hsic_matrix_scratch_bytes(task));
  task.values = values.as<double>();
  task.own_values = own_values.as<double>();
  task.row_sums = row_sums.as<double>();
  task.bandwidths = bandwidths.as<double>();
  CHECK(succeeded(hsic_matrix(task, scratch.as<char>(), nullptr)));
  return {values.values<double>(), own_values.values<double>(), row_sums.values<double>(), bandwidths.values<double>()};
}
Answer ours(const Problem& problem) { return ours(problem, default_operand(problem.dtype, false)); }

// The values only.
template <class T>
Answer naive(const Problem& problem) {
  std::vector<NaiveGram<T>> grams;
  for (const DeviceMatrix& layer : problem.layers) grams.emplace_back(layer, problem.sigma);
  Answer answer;
  const auto first = static_cast<std::size_t>(problem.layers_y() > 0 ? problem.layers_x : 0);
  for (std::size_t a = 0; a < static_cast<std::size_t>(problem.layers_x); a++)
    for (std::size_t b = first; b < grams.size(); b++)
      answer.values.push_back(static_cast<double>(grams[a].hsic(grams[b], problem.unbiased)));
  for (const NaiveGram<T>& gram : grams)
    answer.own_values.push_back(static_cast<double>(gram.hsic(gram, problem.unbiased)));
  return answer;
}
// Half types are summed in float32, as every library does.
Answer naive_of(const Problem& problem) {
  return problem.dtype == Dtype::float64 ? naive<double>(problem) : naive<float>(problem);
}

double cka(const Problem& problem, const Answer& answer, std::int64_t a, std::int64_t b) {
  const auto at = [](const std::vector<double>& values, std::int64_t i) { return values[static_cast<std::size_t>(i)]; };
  const std::int64_t other = problem.layers_y() > 0 ? problem.layers_x + b : b;
  return at(answer.values, a * problem.cols() + b) / std::sqrt(at(answer.own_values, a)) /
         std::sqrt(at(answer.own_values, other));
}

double largest_error(const Problem& problem, const Answer& found, const Answer& truth) {
  double largest = 0;
  for (std::int64_t a = 0; a < problem.layers_x; a++)
    for (std::int64_t b = 0; b < problem.cols(); b++) {
      const double error = std::abs(cka(problem, found, a, b) - cka(problem, truth, a, b));
      largest = error > largest || std::isnan(error) ? error : largest;
    }
  return largest;
}

// Correlated layers of different widths and layouts.
Problem problem_of(Dtype dtype, std::int64_t n, std::int64_t layers_x, std::int64_t layers_y, double sigma,
                   bool unbiased, std::int64_t width = 3) {
  Problem problem{{}, layers_x, sigma, unbiased, dtype};
  const auto seed = static_cast<unsigned>(10 * n + layers_x);
  const DeviceMatrix common(dtype, n, width, normal_entries(seed));
  for (std::int64_t layer = 0; layer < layers_x + layers_y; layer++) {
    const auto noise = normal_entries(seed + 1 + static_cast<unsigned>(layer));
    const double share = 0.3 + 0.1 * static_cast<double>(layer % 7);
    problem.layers.emplace_back(
        dtype, n, width + layer % 4,
        [&](std::int64_t i, std::int64_t k) { return common.value(i, k % width) + share * noise(i, k) + 0.25; },
        layer % 2 == 1, layer % 3);
  }
  return problem;
}

void check_near_truth(const Problem& problem, double tolerance) {
  CHECK(largest_error(problem, ours(problem), naive<long double>(problem)) < tolerance);
}

TEST(hsic_matrix_has_the_same_bits_in_every_schedule) {
  for (const Dtype dtype : {Dtype::float32, Dtype::float64}) {
    if (dtype != Dtype::float32 && !in_all_schedules) continue;
    const bool narrow = dtype == Dtype::float32;
    const std::int64_t rows = !narrow ? 150 : in_all_schedules ? 290 : 140;
    Problem problem = problem_of(dtype, rows, 2, narrow ? 0 : 1, 2, true);
    problem.stored_bytes = 1 << 22;  // squares of two tiles
    const Answer found = same_in_every_schedule([&] { return ours(problem); });
    const double error = largest_error(problem, found, naive<long double>(problem));
    CHECK(error < (narrow ? 2e-6 : 1e-13));
  }
}

// Row sums and bandwidths are those that the gradients of pairs need.
TEST(hsic_matrix_of_a_pair_is_what_hsic_says) {
  use_schedule(1);
  for (const bool unbiased : {true, false})
    for (const double sigma : {0.0, 1.5}) {
      const Problem problem = problem_of(Dtype::float64, 130, 1, 1, sigma, unbiased);
      const Answer found = ours(problem);
      HsicTask task;
      task.x = problem.layers[0].view();
      task.y = problem.layers[1].view();
      task.kernel_x = task.kernel_y = kernel_of(sigma);
      task.estimator = unbiased ? Estimator::unbiased : Estimator::biased;
      task.operand = Operand::float64;
      const DeviceMemory values(3 * sizeof(double)), row_sums(260 * sizeof(double)), bandwidths(2 * sizeof(double)),
          scratch(hsic_scratch_bytes(task));
      task.values = values.as<double>();
      task.row_sums = row_sums.as<double>();
      task.bandwidths = bandwidths.as<double>();
      CHECK(succeeded(hsic(task, scratch.as<char>(), nullptr)));
      const auto near = [](const std::vector<double>& a, const std::vector<double>& b) {
        CHECK(a.size() == b.size());
        for (std::size_t i = 0; i < a.size(); i++) CHECK(std::abs(a[i] - b[i]) <= 1e-11 * (1 + std::abs(b[i])));
      };
      const std::vector<double> expected = values.values<double>();
      near({found.values[0], found.own_values[0], found.own_values[1]}, expected);
      near(found.row_sums, row_sums.values<double>());
      near(found.bandwidths, bandwidths.values<double>());
    }
}

// Independent of how tiles are stored and layers are packed.
TEST(hsic_matrix_in_squares_and_passes) {
  if (!in_all_schedules) return;
  use_schedule(5);
  for (const bool unbiased : {true, false}) {
    Problem problem = problem_of(Dtype::float32, 270, 3, unbiased ? 0 : 2, unbiased ? 2 : 0, unbiased);
    const Answer truth = naive<long double>(problem);
    const std::int64_t of_layer = 384 * 70 * 4;  // about the packed rows of one
    for (const std::int64_t packed_bytes : {std::int64_t{0}, 4 * of_layer, problem.packed_bytes})
      for (const std::int64_t stored_bytes : {std::int64_t{0}, problem.stored_bytes}) {
        problem.packed_bytes = packed_bytes;
        problem.stored_bytes = stored_bytes;
        CHECK(largest_error(problem, ours(problem), truth) < 2e-6);
      }
  }
}

// As many layers as a warp multiplies, more than a block multiplies, and more than one launch describes.
TEST(hsic_matrix_of_many_layers) {
  if (!in_all_schedules) return;
  use_schedule(2);
  for (const std::int64_t layers : {8, 9, 67})
    check_near_truth(problem_of(Dtype::float32, 9, layers, 0, 2, true), 2e-6);
  for (const std::int64_t layers : {4, 19})
    check_near_truth(problem_of(Dtype::float64, 70, layers, 0, 0, false), 1e-12);
  check_near_truth(problem_of(Dtype::float32, 20, 9, 34, 0, true), 2e-6);
  check_near_truth(problem_of(Dtype::float64, 20, 17, 3, 2, true), 1e-12);
}

TEST(hsic_matrix_of_unusual_layers) {
  use_schedule(3);
  for (const double sigma : {0.0, 2.0}) {
    Problem problem = problem_of(Dtype::float32, 60, 3, 0, sigma, true);
    problem.layers[1] = DeviceMatrix(Dtype::float32, 60, 4, [](std::int64_t, std::int64_t) { return 0.1; });
    Answer found = ours(problem);
    CHECK(found.own_values[1] == 0 && found.own_values[0] > 0);
    problem.layers[1] = DeviceMatrix(Dtype::float32, 60, 4, [](std::int64_t i, std::int64_t k) {
      return i == 41 && k == 3 ? NAN : static_cast<double>(i % 7 + k);
    });
    found = ours(problem);
    for (std::size_t pair = 0; pair < 9; pair++)
      CHECK(std::isnan(found.values[pair]) == (pair / 3 == 1 || pair % 3 == 1));
    CHECK(std::isnan(found.own_values[1]) && !std::isnan(found.own_values[2]));
  }
}

// The bandwidths are the layers' own medians.
TEST(hsic_matrix_with_medians) {
  use_schedule(4);
  Problem problem = problem_of(Dtype::float64, 40, 3, 0, 1, true);
  std::vector<Matrix> layers;
  std::vector<double> medians;
  for (const DeviceMatrix& layer : problem.layers) {
    layers.push_back(layer.view());
    MedianTask task;
    task.x = layer.view();
    task.operand = Operand::float64;
    const DeviceMemory median(sizeof(double)), scratch(median_scratch_bytes(task));
    task.median = median.as<double>();
    CHECK(succeeded(median_squared_distance(task, scratch.as<char>(), nullptr)));
    medians.push_back(median.values<double>()[0]);
  }
  HsicMatrixTask task;
  task.layers = layers.data();
  task.layers_x = 3;
  task.kernel_x = {.formula = Rbf{}};
  task.operand = Operand::float64;
  const DeviceMemory values(9 * sizeof(double)), own_values(3 * sizeof(double)), bandwidths(3 * sizeof(double)),
      scratch(hsic_matrix_scratch_bytes(task));
  task.values = values.as<double>();
  task.own_values = own_values.as<double>();
  task.bandwidths = bandwidths.as<double>();
  CHECK(succeeded(hsic_matrix(task, scratch.as<char>(), nullptr)));
  CHECK(bandwidths.values<double>() == medians);
  CHECK(medians[0] != medians[1] && medians[1] != medians[2]);
}

TEST(hsic_matrix_says_what_is_wrong) {
  const DeviceMatrix x(Dtype::float32, 5, 2, normal_entries(1)), y(Dtype::float32, 6, 2, normal_entries(2));
  Matrix layers[] = {x.view(), y.view()};
  HsicMatrixTask task;
  CHECK(hsic_matrix(task, nullptr, nullptr) == std::string("hsic_matrix: there are no layers"));
  task.layers = layers;
  task.layers_x = 2;
  CHECK(hsic_matrix(task, nullptr, nullptr) == std::string("hsic_matrix: layers differ in rows"));
  layers[0].rows = layers[1].rows = 3;
  CHECK(hsic_matrix(task, nullptr, nullptr) == std::string("hsic_matrix: too few rows for the estimator"));
  layers[1].dtype = Dtype::int32;
  CHECK(hsic_matrix(task, nullptr, nullptr) != nullptr && hsic_matrix_scratch_bytes(task) == 0);
}

void check_accuracy(Dtype dtype, Operand operand, const std::vector<std::int64_t>& rows) {
  Accuracy of_cka, of_own;
  for (const std::int64_t n : rows)
    for (const std::int64_t layers_y : {0, 2})
      for (const double sigma : {0.0, 2.0})
        for (const bool unbiased : {true, false}) {
          if ((unbiased && n < 4) || (n > 70 && unbiased != (layers_y == 0))) continue;
          const Problem problem = problem_of(dtype, n, 3, layers_y, sigma, unbiased, n % 2 ? 9 : 33);
          const Answer found = ours(problem, operand), of_naive = naive_of(problem),
                       truth = naive<long double>(problem);
          for (std::int64_t a = 0; a < 3; a++)
            for (std::int64_t b = 0; b < problem.cols(); b++)
              of_cka.add(cka(problem, found, a, b), cka(problem, of_naive, a, b), cka(problem, truth, a, b));
          for (std::size_t l = 0; l < problem.layers.size(); l++)
            of_own.add(found.own_values[l] / truth.own_values[l], of_naive.own_values[l] / truth.own_values[l], 1);
        }
  CHECK(of_cka.holds(dtype, name_of(dtype)));
  CHECK(of_own.holds(dtype, name_of(dtype)));
}

TEST(layers_of_every_dtype_are_as_accurate_as_naive_code) {
  use_schedule(0);
  const std::vector<std::int64_t> ragged = {2, 4, 5, 63, 65, 129};
  check_accuracy(Dtype::float32, Operand::split, ragged);
  check_accuracy(Dtype::float16, Operand::float16, ragged);
  check_accuracy(Dtype::bfloat16, Operand::bfloat16, ragged);
  check_accuracy(Dtype::float64, Operand::float64, ragged);
}

}  // namespace
}  // namespace gramless::cuda
