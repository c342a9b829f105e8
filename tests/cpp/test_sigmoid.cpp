// The sigmoid loss of pairs through this width's table and every table of this CPU, against n x n code in long double.
#include "ops/sigmoid/sigmoid_loss.hpp"

#include <cmath>
#include <limits>

#include "check.hpp"
#include "matrices.hpp"
#include "tables.hpp"

namespace gramless {
inline namespace GRAMLESS_ISA {
namespace {

using Wide = long double;

struct Case {
  std::int64_t rows, columns, width, first_positive;
  double scale, bias;
};
const Case cases[] = {
    {1, 1, 1, 0, 2.0, -1.0},         {17, 17, 5, 0, 3.0, -2.0},   {97, 97, 20, 0, 10.0, -10.0},
    {30, 70, 9, 25, 2.0, 0.5},       {70, 30, 9, -50, -1.0, 0.0},  // some rows have no positive
    {400, 210, 33, -400, 5.0, -3.0},                               // none has
};

template <class T>
class Problem {
 public:
  explicit Problem(const Case& shape) : shape_(shape), a_(values(shape.rows, 3)), b_(values(shape.columns, 4)) {
    for (std::int64_t i = 0; i < shape.rows; i++) weights_.push_back(0.1 + 0.01 * static_cast<double>(i % 5));
  }

  // Sums of the rows, then both gradients.
  std::vector<double> run(const OpTable& ops, int threads, bool of_b = true) const {
    const Execution how{sizeof(T) == 4 ? Compute::float32 : Compute::float64, threads, {}};
    std::vector<T> grad_a(a_.size()), grad_b(b_.size());
    const SigmoidValues sums =
        sigmoid_loss({view(a_), view(b_), shape_.scale, shape_.bias, false, shape_.first_positive}, weights_,
                     grad_a.data(), of_b ? grad_b.data() : nullptr, ops, how);
    std::vector<double> found;
    for (const auto array : SigmoidValues::arrays())
      found.insert(found.end(), (sums.*array).begin(), (sums.*array).end());
    found.insert(found.end(), grad_a.begin(), grad_a.end());
    found.insert(found.end(), grad_b.begin(), grad_b.end());
    return found;
  }

  std::vector<double> truth() const {
    const auto n = static_cast<std::size_t>(shape_.rows), m = static_cast<std::size_t>(shape_.columns),
               d = static_cast<std::size_t>(shape_.width);
    std::vector<double> found(3 * n + a_.size() + b_.size());
    for (std::size_t i = 0; i < n; i++)
      for (std::size_t j = 0; j < m; j++) {
        Wide dot = 0;
        for (std::size_t c = 0; c < d; c++) dot += Wide(a_[i * d + c]) * b_[j * d + c];
        const bool own = static_cast<std::int64_t>(j) == shape_.first_positive + static_cast<std::int64_t>(i);
        const Wide sign = own ? 1 : -1, signed_logit = sign * (shape_.scale * dot + shape_.bias);
        const Wide slope = -sign / (1 + std::exp(signed_logit)), by_dot = weights_[i] * slope * shape_.scale;
        found[i] += static_cast<double>(std::log1p(std::exp(-signed_logit)));
        found[n + i] += static_cast<double>(slope);
        found[2 * n + i] += static_cast<double>(slope * dot);
        for (std::size_t c = 0; c < d; c++) {
          found[3 * n + i * d + c] += static_cast<double>(by_dot * b_[j * d + c]);
          found[3 * n + a_.size() + j * d + c] += static_cast<double>(by_dot * a_[i * d + c]);
        }
      }
    return found;
  }

 private:
  std::vector<T> values(std::int64_t rows, unsigned seed) const {
    return testing::random_values<T>(static_cast<std::size_t>(rows * shape_.width), seed);
  }
  ArrayView view(const std::vector<T>& x) const {
    const auto size = static_cast<std::int64_t>(sizeof(T)), rows = static_cast<std::int64_t>(x.size()) / shape_.width;
    return {x.data(), rows, shape_.width, shape_.width * size, size, size == 4 ? Dtype::float32 : Dtype::float64};
  }

  const Case& shape_;
  const std::vector<T> a_, b_;
  std::vector<double> weights_;
};

template <class T>
void sums_and_gradients_are_right() {
  for (const Case& shape : cases) {
    const Problem<T> problem(shape);
    const std::vector<double> truth = problem.truth();
    double largest = 1;
    for (const double value : truth) largest = std::max(largest, std::abs(value));
    const double limit = 16 * static_cast<double>(std::numeric_limits<T>::epsilon()) * (1 + std::abs(shape.scale));
    for (const OpTable* ops : tables()) {
      const std::vector<double> ours = problem.run(*ops, 2);
      double error = 0;
      for (std::size_t i = 0; i < truth.size(); i++) error = std::max(error, std::abs(ours[i] - truth[i]));
      CHECK(error <= limit * largest);
    }
  }
}

TEST(sigmoid_losses_and_gradients_are_those_of_n_x_n_code) {
  sums_and_gradients_are_right<float>();
  sums_and_gradients_are_right<double>();
}

TEST(sigmoid_gradients_are_the_same_bits_for_any_number_of_threads) {
  const Problem<float> problem(cases[5]);
  const std::vector<double> alone = problem.run(own_table(), 1);
  for (const int threads : {2, 3, 7}) CHECK(problem.run(own_table(), threads) == alone);
}

// Neither the sums nor the other gradient depend on whether a gradient is wanted.
TEST(a_sigmoid_gradient_that_is_not_wanted_changes_nothing) {
  const Problem<double> problem(cases[3]);
  const std::vector<double> both = problem.run(own_table(), 2), one = problem.run(own_table(), 2, false);
  const std::size_t of_b = static_cast<std::size_t>(cases[3].columns * cases[3].width);
  CHECK(std::equal(both.begin(), both.end() - static_cast<std::ptrdiff_t>(of_b), one.begin()));
}

}  // namespace
}  // namespace GRAMLESS_ISA
}  // namespace gramless
