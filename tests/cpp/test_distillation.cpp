// Similarity distillation and the limits of the hardest negatives, through this width's table, against one pair at a
// time in long double.
#include "ops/distillation/distillation.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "check.hpp"
#include "matrices.hpp"
#include "ops/contrast/contrast.hpp"
#include "tables.hpp"

namespace gramless {
inline namespace GRAMLESS_ISA {
namespace {

using Wide = long double;

template <class T>
struct Rows {
  Rows(std::int64_t rows, std::int64_t width, unsigned seed)
      : values(testing::random_values<T>(static_cast<std::size_t>(rows * width), seed)), count(rows), cols(width) {}

  ArrayView view() const {
    ArrayView view{values.data(), count, cols, 0, sizeof(T), sizeof(T) == 4 ? Dtype::float32 : Dtype::float64};
    view.row_stride = cols * static_cast<std::int64_t>(sizeof(T));
    return view;
  }
  Wide at(std::int64_t i, std::int64_t k) const { return values[static_cast<std::size_t>(i * cols + k)]; }

  std::vector<T> values;
  std::int64_t count, cols;
};

template <class T>
Wide dot(const Rows<T>& x, std::int64_t i, const Rows<T>& y, std::int64_t j) {
  Wide sum = 0;
  for (std::int64_t k = 0; k < x.cols; k++) sum += x.at(i, k) * y.at(j, k);
  return sum;
}

// The softmax of row i over all keys, and the log of its denominator.
template <class T>
Wide softmax(const Rows<T>& x, std::int64_t i, const Rows<T>& keys, Wide temperature, std::vector<Wide>& p) {
  Wide top = -std::numeric_limits<Wide>::infinity(), sum = 0;
  p.clear();
  for (std::int64_t j = 0; j < keys.count; j++) top = std::max(top, p.emplace_back(dot(x, i, keys, j) / temperature));
  for (const Wide logit : p) sum += std::exp(logit - top);
  for (Wide& value : p) value = std::exp(value - top) / sum;
  return top + std::log(sum);
}

template <class T>
void check_distillation(std::int64_t n, std::int64_t m, double temperature) {
  const Rows<T> student(n, 21, 1), teacher(n, 5, 2), queue(m, 21, 3), teacher_queue(m, 5, 4);
  const DistillTask problem{student.view(), teacher.view(), queue.view(), teacher_queue.view(), temperature, 0.7,
                            false};
  const double tolerance = 64 * static_cast<double>(std::numeric_limits<T>::epsilon()) * (1 + 40 / temperature);
  std::vector<std::vector<T>> grads;
  for (const int threads : {1, 3}) {
    const Execution how{sizeof(T) == 4 ? Compute::float32 : Compute::float64, threads, {}};
    const DistillationLosses ours = distillation_losses(problem, own_table(), how);
    std::vector<T>& grad = grads.emplace_back(student.values.size());
    const std::vector<double> weights(static_cast<std::size_t>(n), 0.5);
    const double by_temperature = distillation_gradient(problem, ours.sums, weights, grad.data(), own_table(), how);
    Wide slope = 0;
    for (std::int64_t i = 0; i < n; i++) {
      std::vector<Wide> p, q, expected(21);
      softmax(teacher, i, teacher_queue, 0.7L, p);
      Wide loss = softmax(student, i, queue, static_cast<Wide>(temperature), q);
      for (std::int64_t j = 0; j < m; j++) {
        const auto at = static_cast<std::size_t>(j);
        const Wide logit = dot(student, i, queue, j) / temperature, ds = 0.5L * (q[at] - p[at]);
        loss -= p[at] * logit;
        slope -= ds * logit / temperature;
        for (std::int64_t k = 0; k < 21; k++)
          expected[static_cast<std::size_t>(k)] += ds * queue.at(j, k) / temperature;
      }
      CHECK(std::abs(ours.losses[static_cast<std::size_t>(i)] - static_cast<double>(loss)) < tolerance);
      for (std::size_t k = 0; k < 21; k++)
        CHECK(std::abs(grad[static_cast<std::size_t>(i) * 21 + k] - static_cast<double>(expected[k])) <
              tolerance / temperature);
    }
    CHECK(std::abs(by_temperature - static_cast<double>(slope)) <
          tolerance * static_cast<double>(n) * 40 / temperature / temperature);
  }
  CHECK(grads[0] == grads[1]);
}

TEST(distillation_is_that_of_one_pair_at_a_time) {
  for (const double temperature : {0.05, 2.0}) {
    check_distillation<float>(61, 230, temperature);
    check_distillation<double>(61, 230, temperature);
    check_distillation<float>(1, 1, temperature);
  }
}

template <class T>
void check_limits(double fraction, bool easiest) {
  const Rows<T> rows(131, 9, 5);
  ContrastProblem problem;
  problem.anchors = {rows.view()};
  problem.normalize = false;
  for (std::int64_t i = 0; i < rows.count; i++) problem.anchor_groups.push_back(i % 60);
  std::vector<std::vector<double>> found;
  for (const int threads : {1, 3}) {
    const Execution how{sizeof(T) == 4 ? Compute::float32 : Compute::float64, threads, {}};
    found.push_back(hardest_limits(problem, {fraction, 0, false, easiest}, own_table(), how).anchors);
  }
  CHECK(found[0] == found[1]);
  for (std::int64_t i = 0; i < rows.count; i++) {
    std::vector<double> negatives;
    for (std::int64_t j = 0; j < rows.count; j++)
      if (i % 60 != j % 60) negatives.push_back(static_cast<double>(dot(rows, i, rows, j)));
    std::sort(negatives.begin(), negatives.end());
    const auto asked = static_cast<std::size_t>(fraction * static_cast<double>(negatives.size()));
    const std::size_t k = std::max(std::size_t{1}, asked), place = easiest ? k - 1 : negatives.size() - k;
    const double limit = found[0][static_cast<std::size_t>(i)];
    CHECK(std::abs(limit - negatives[place]) < 64 * static_cast<double>(std::numeric_limits<T>::epsilon()));
  }
}

TEST(limits_are_the_kth_largest_dot_products_of_negatives_or_the_kth_smallest) {
  for (const bool easiest : {false, true})
    for (const double fraction : {0.001, 0.01, 0.3, 1.0}) {
      check_limits<float>(fraction, easiest);
      check_limits<double>(fraction, easiest);
    }
}

}  // namespace
}  // namespace GRAMLESS_ISA
}  // namespace gramless
