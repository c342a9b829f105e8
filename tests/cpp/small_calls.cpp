// small_calls NAME [THREADS]: makes a small call three times; .ci/cpu_code.py counts the instructions of the third.
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>

#include "ops/contrast/contrast_pass.hpp"
#include "ops/dispatch/backends.hpp"
#include "ops/hsic/hsic.hpp"

namespace {

using namespace gramless;

std::vector<float> random_rows(std::int64_t n, std::int64_t d, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(static_cast<std::size_t>(n * d));
  for (float& value : values) value = normal(random);
  return values;
}

struct Rows {
  Rows(std::int64_t n, std::int64_t d, unsigned seed) : values(random_rows(n, d, seed)) {
    view.data = reinterpret_cast<char*>(values.data());
    view.dtype = Dtype::float32;
    view.rows = n;
    view.cols = d;
    view.row_stride = d * 4;
    view.col_stride = 4;
  }
  std::vector<float> values;
  ArrayView view;
};

Execution how{Compute::float32, 1, {}};

KernelSpec rbf(std::optional<double> sigma) {
  KernelSpec kernel;
  kernel.formula = Rbf{};
  kernel.sigma = sigma;
  return kernel;
}

using Call = std::function<double()>;

std::vector<Rows> several_rows(std::int64_t n, std::int64_t d, std::size_t count) {
  std::vector<Rows> rows;
  rows.reserve(count);  // views point into them
  for (std::size_t l = 0; l < count; l++) rows.emplace_back(n, d, static_cast<unsigned>(l));
  return rows;
}

Call cka(std::int64_t n, std::int64_t d, std::size_t layers, const KernelSpec& kernel) {
  const auto rows = std::make_shared<std::vector<Rows>>(several_rows(n, d, layers));
  return [rows, kernel] {
    std::vector<LayerInput> inputs;
    for (const Rows& layer : *rows) inputs.push_back({layer.view, kernel});
    const std::span<const LayerInput> all(inputs), none;
    const bool pair = inputs.size() == 2;
    return hsic_values(pair ? all.first(1) : all, pair ? all.last(1) : none, Estimator::unbiased, Space::automatic,
                       current_backend(), how)
        .xy[0];
  };
}

Call nt_xent(std::int64_t n, std::int64_t d) {
  const auto rows = std::make_shared<std::vector<Rows>>(several_rows(n, d, 4));
  return [rows, n] {
    ContrastProblem problem;
    problem.anchors = {(*rows)[0].view, (*rows)[1].view};
    for (int view = 0; view < 2; view++)
      for (std::int64_t i = 0; i < n; i++) problem.anchor_groups.push_back(i);
    ContrastPass pass(problem, current_backend(), how);
    const ContrastSums sums = pass.sums(true, how);
    const std::vector<double> weights(static_cast<std::size_t>(2 * n), 1.0);
    void* const grads[] = {(*rows)[2].values.data(), (*rows)[3].values.data()};
    return pass.gradients(sums, weights, {}, grads, how) + contrast_losses(problem, sums).rows[0];
  };
}

Call call_of(const std::string& name) {
  if (name == "nt_xent_64") return nt_xent(32, 128);
  if (name == "nt_xent_512") return nt_xent(256, 128);
  if (name == "cka_rbf_64") return cka(64, 32, 2, rbf(8));
  if (name == "cka_median_64") return cka(64, 32, 2, rbf(std::nullopt));
  if (name == "cka_median_512") return cka(512, 32, 2, rbf(std::nullopt));
  if (name == "cka_linear_64") return cka(64, 16, 2, {});
  if (name == "matrix_rbf_64") return cka(64, 16, 8, rbf(6));
  throw std::invalid_argument("there is no call " + name);
}

}  // namespace

extern "C" __attribute__((noinline)) double counted_call(const Call& call) { return call(); }

int main(int count, char** arguments) {
  if (count < 2) return 1;
  if (count > 2) how.threads = std::atoi(arguments[2]);
  const Call call = call_of(arguments[1]);
  const double warm = call() + call();
  std::printf("%.17g\n", warm + counted_call(call));
}
