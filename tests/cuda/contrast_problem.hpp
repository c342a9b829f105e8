// A contrastive problem of random rows, its results from the kernels, and their accuracy.
#pragma once

#include <numeric>

#include "naive_contrast.hpp"

namespace gramless::cuda {

// The dot products of all rows with all others, sorted.
inline std::vector<double> dot_products(const ContrastCase& shape, const ContrastInput& input) {
  std::vector<std::vector<double>> rows;
  for (const DeviceMatrix& part : input.parts)
    for (std::int64_t i = 0; i < part.rows(); i++) {
      std::vector<double> row;
      for (std::int64_t k = 0; k < shape.width; k++) row.push_back(part.value(i, k));
      const double norm = std::sqrt(std::inner_product(row.begin(), row.end(), row.begin(), 0.0));
      for (double& value : row) value /= shape.normalize ? norm : 1;
      rows.push_back(row);
    }
  std::vector<double> products;
  for (std::size_t i = 0; i < rows.size(); i++)
    for (std::size_t j = 0; j < i; j++)
      products.push_back(std::inner_product(rows[i].begin(), rows[i].end(), rows[j].begin(), 0.0));
  std::sort(products.begin(), products.end());
  return products;
}

// A limit in the middle of a gap that no rounding crosses or, for whole numbers, one that many pairs have exactly.
inline double limit_of(const ContrastCase& shape, const ContrastInput& input) {
  if (shape.left_out == 0) return INFINITY;
  const std::vector<double> products = dot_products(shape, input);
  const auto count = static_cast<double>(products.size());
  auto best = static_cast<std::size_t>(count * (1 - shape.left_out));
  if (shape.whole_numbers) return products[best];
  const auto gap = [&](std::size_t i) { return products[i + 1] - products[i]; };
  for (std::size_t i = best; i + 1 < static_cast<std::size_t>(count * (1 - shape.left_out / 2)); i++)
    best = gap(i) > gap(best) ? i : best;
  return products[best] + gap(best) / 2;
}

inline ContrastInput input_of(const ContrastCase& shape, Dtype dtype) {
  ContrastInput input;
  unsigned seed = 5;
  std::mt19937 random(17);
  for (const auto* parts : {&shape.anchors, &shape.keys})
    for (std::size_t p = 0; p < parts->size(); p++) {
      const std::int64_t rows = (*parts)[p];
      const auto noise = normal_entries(seed++);
      const bool pairs = !input.parts.empty() && rows <= input.parts[0].rows() && shape.labels == 0;
      input.parts.emplace_back(
          dtype, rows, shape.width,
          [&](std::int64_t i, std::int64_t k) {
            const double own = shape.whole_numbers ? std::round(noise(i, k)) : noise(i, k);
            return own + (pairs ? 2 * input.parts[0].value(i, k) : 0);
          },
          seed % 2 == 0, seed % 3);
      for (std::int64_t i = 0; i < rows; i++) {
        const bool queue = parts == &shape.keys && p == 1;
        const auto label =
            static_cast<std::int64_t>(random() % static_cast<unsigned>(std::max<std::int64_t>(1, shape.labels)));
        input.groups.push_back(static_cast<std::int32_t>(queue ? -1 : shape.labels ? label : i));
      }
    }
  for (std::size_t i = 0; i < input.groups.size(); i++)
    input.weights.push_back(0.01 + 0.001 * static_cast<double>(i % 5));
  input.limit = limit_of(shape, input);
  return input;
}

inline ContrastSide side_of(const ContrastInput& input, std::size_t first, std::size_t count,
                            const std::int32_t* groups) {
  ContrastSide side;
  side.part_count = static_cast<int>(count);
  for (std::size_t p = 0; p < count; p++) side.parts[p] = input.parts[first + p].view();
  side.groups = groups;
  return side;
}

inline ContrastAnswer ours(const ContrastCase& shape, const ContrastInput& input, Dtype dtype, Operand operand) {
  const std::size_t anchors = static_cast<std::size_t>(
                        std::accumulate(shape.anchors.begin(), shape.anchors.end(), std::int64_t{0})),
                    all = input.groups.size();
  const DeviceMemory groups(all * sizeof(std::int32_t)), losses(all * sizeof(double)),
      saved(contrast_saved_arrays * all * sizeof(double)), weights(all * sizeof(double)), mean(sizeof(double)),
      temperature(sizeof(double)), by_temperature(sizeof(double));
  std::copy(input.groups.begin(), input.groups.end(), groups.as<std::int32_t>());
  std::copy(input.weights.begin(), input.weights.end(), weights.as<double>());
  const bool named = shape.labels > 0 || shape.keys.size() > 1;
  ContrastTask problem;
  problem.anchors = side_of(input, 0, shape.anchors.size(), named ? groups.as<std::int32_t>() : nullptr);
  problem.keys =
      side_of(input, shape.anchors.size(), shape.keys.size(), named ? groups.as<std::int32_t>() + anchors : nullptr);
  problem.keys_are_anchors = shape.keys_are_anchors;
  *temperature.as<double>() = shape.temperature;
  problem.temperature = shape.temperature_on_device ? NAN : shape.temperature;
  problem.device_temperature = shape.temperature_on_device ? temperature.as<double>() : nullptr;
  problem.normalize = shape.normalize;
  problem.limit = input.limit;
  problem.hardest = shape.hardest;
  problem.tie = shape.hardest > 0 ? 1e-6 : 0;
  problem.stored_bytes = shape.stored_bytes;
  problem.busy_blocks = shape.busy_blocks;
  problem.kind = shape.kind;
  problem.operand = operand;
  ContrastForwardTask forward{problem, losses.as<double>(), saved.as<double>(), mean.as<double>()};
  const DeviceMemory forward_scratch(contrast_forward_scratch_bytes(forward));
  CHECK(succeeded(contrast_forward(forward, forward_scratch.as<char>(), nullptr)));
  for (const std::uint64_t bits : saved.values<std::uint64_t>()) CHECK(~bits != 0);  // everything was written
  ContrastBackwardTask backward;
  backward.problem = problem;
  backward.saved = saved.as<double>();
  backward.weights = weights.as<double>();
  backward.grad_temperature = by_temperature.as<double>();
  std::vector<DeviceMemory> grads;
  for (std::size_t p = 0; p < input.parts.size(); p++) {
    grads.emplace_back(static_cast<std::size_t>(input.parts[p].rows() * shape.width) * bytes_of(dtype));
    backward.grads[p] = grads.back().as<char>();
  }
  const DeviceMemory backward_scratch(contrast_backward_scratch_bytes(backward));
  CHECK(succeeded(contrast_backward(backward, backward_scratch.as<char>(), nullptr)));
  ContrastAnswer answer;
  answer.losses = losses.values<double>();
  answer.losses.resize(shape.keys_are_anchors ? all : anchors);
  const double sum =
      std::accumulate(answer.losses.begin(), answer.losses.begin() + static_cast<std::ptrdiff_t>(anchors), 0.0);
  const double off = std::abs(*mean.as<double>() - sum / static_cast<double>(anchors));
  CHECK(std::isnan(sum) ? std::isnan(off) : off <= 1e-12 * (1 + std::abs(sum)));
  for (std::size_t p = 0; p < grads.size(); p++)
    for (std::int64_t i = 0; i < input.parts[p].rows() * shape.width; i++)
      answer.grads.push_back(load(dtype, grads[p].as<char>() + i * static_cast<std::int64_t>(bytes_of(dtype))));
  answer.temperature = *by_temperature.as<double>();
  return answer;
}

inline double largest(const std::vector<double>& values) {
  double found = 0;
  for (const double value : values) found = std::max(found, std::abs(value));
  return found;
}

struct ContrastAccuracy {
  Accuracy loss, gradient, temperature;

  void add(const ContrastCase& shape, const ContrastAnswer& our, const ContrastAnswer& naive,
           const ContrastAnswer& truth) {
    const double slope = 1 / std::abs(shape.temperature), weight = 0.012;
    const auto compare = [](Accuracy& accuracy, const std::vector<double>& a, const std::vector<double>& b,
                            const std::vector<double>& c, double scale) {
      CHECK(a.size() == c.size());
      for (std::size_t i = 0; i < c.size(); i++) accuracy.add(a[i] / scale, b[i] / scale, c[i] / scale);
    };
    compare(loss, our.losses, naive.losses, truth.losses, std::max(1.0, largest(truth.losses)));
    const double share = weight * slope * (shape.width <= 2 || truth.losses.size() <= 2 ? 1 : 1e-3);
    compare(gradient, our.grads, naive.grads, truth.grads, std::max(largest(truth.grads), share));
    const double count = static_cast<double>(truth.losses.size());
    compare(temperature, {our.temperature}, {naive.temperature}, {truth.temperature},
            std::max(std::abs(truth.temperature), count * weight * slope));
  }
};

inline void add_case(ContrastAccuracy& accuracy, const ContrastCase& shape, Dtype dtype, const ContrastAnswer& answer) {
  const ContrastInput input = input_of(shape, dtype);
  const ContrastAnswer truth = NaiveContrast<long double>(shape, input, Dtype::float64).answer();
  const ContrastAnswer naive = dtype == Dtype::float64 ? NaiveContrast<double>(shape, input, dtype).answer()
                                                       : NaiveContrast<float>(shape, input, dtype).answer();
  accuracy.add(shape, answer, naive, truth);
}

inline void check_accuracy(const ContrastAccuracy& accuracy, Dtype dtype) {
  CHECK(accuracy.loss.holds(dtype, name_of(dtype)));
  CHECK(accuracy.gradient.holds(dtype, name_of(dtype)));
  CHECK(accuracy.temperature.holds(dtype, name_of(dtype)));
}

inline void check_case(const ContrastCase& shape, Dtype dtype, const ContrastAnswer& answer) {
  ContrastAccuracy accuracy;
  add_case(accuracy, shape, dtype, answer);
  check_accuracy(accuracy, dtype);
}

inline void check_cases(const std::vector<ContrastCase>& cases, Dtype dtype, Operand operand) {
  ContrastAccuracy accuracy;
  for (const ContrastCase& shape : cases)
    add_case(accuracy, shape, dtype, ours(shape, input_of(shape, dtype), dtype, operand));
  check_accuracy(accuracy, dtype);
}

}  // namespace gramless::cuda
