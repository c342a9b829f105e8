// Limits that are compared with a guide's cosines, through every table of this CPU, against n x n code in long double.
#include <cmath>
#include <limits>

#include "check.hpp"
#include "matrices.hpp"
#include "ops/contrast/contrast_pass.hpp"
#include "tables.hpp"

namespace gramless {
inline namespace GRAMLESS_ISA {
namespace {

using Wide = long double;

template <class T>
struct Rows {
  Rows(std::int64_t count, std::int64_t columns, unsigned seed)
      : width(columns), values(testing::random_values<T>(static_cast<std::size_t>(count * columns), seed)) {
    view = {values.data(), count, width, 0, sizeof(T), sizeof(T) == 4 ? Dtype::float32 : Dtype::float64};
    view.row_stride = width * static_cast<std::int64_t>(sizeof(T));
  }

  Wide cosine(std::int64_t i, const Rows& other, std::int64_t j) const {
    const T *a = values.data() + i * width, *b = other.values.data() + j * width;
    Wide products = 0, of_a = 0, of_b = 0;
    for (std::int64_t c = 0; c < width; c++) {
      products += Wide(a[c]) * b[c];
      of_a += Wide(a[c]) * a[c];
      of_b += Wide(b[c]) * b[c];
    }
    return products / std::sqrt(of_a) / std::sqrt(of_b);
  }

  std::int64_t width;
  std::vector<T> values;
  ArrayView view;
};

// Row i of a guide's anchors and row i of its keys are as similar as the limit of anchor i, and so the pair counts.
template <class T>
void limits_are_the_guides(std::int64_t n, std::int64_t m, std::int64_t width, std::int64_t guide_width) {
  const Rows<T> anchors(n, width, 1), keys(m, width, 2), guide(n, guide_width, 3), of_keys(m, guide_width, 4);
  const Execution how{sizeof(T) == 4 ? Compute::float32 : Compute::float64, 2, {}};
  ContrastProblem problem;
  problem.anchors = {anchors.view};
  problem.keys = {keys.view};
  problem.guide_anchors = {guide.view};
  problem.guide_keys = {of_keys.view};
  problem.kind = ContrastKind::log_sum_exp;
  problem.key_limits.assign(static_cast<std::size_t>(m), std::numeric_limits<double>::infinity());
  for (const OpTable* ops : tables()) {
    ArrayView own_keys = of_keys.view;
    own_keys.rows = n;
    std::vector<T> cosines(static_cast<std::size_t>(n));
    paired_cosines(guide.view, own_keys, cosines.data(), *ops, how);
    problem.anchor_limits.assign(cosines.begin(), cosines.end());
    ContrastPass pass(problem, *ops, how);
    const std::vector<double> found = contrast_losses(problem, pass.sums(false, how)).rows;
    for (std::int64_t i = 0; i < n; i++) {
      const Wide limit = guide.cosine(i, of_keys, i);
      Wide sum = 0;
      for (std::int64_t j = 0; j < m; j++)
        if (i == j || guide.cosine(i, of_keys, j) <= limit) sum += std::exp(anchors.cosine(i, keys, j) / Wide(0.5));
      CHECK(std::abs(found[static_cast<std::size_t>(i)] - static_cast<double>(std::log(sum))) <
            64 * static_cast<double>(std::numeric_limits<T>::epsilon()));
    }
  }
}

TEST(limits_are_compared_with_cosines_of_a_guide) {
  for (const std::int64_t guide_width : {7, 33, 500}) {
    limits_are_the_guides<float>(70, 130, 20, guide_width);
    limits_are_the_guides<double>(70, 130, 20, guide_width);
  }
  limits_are_the_guides<float>(200, 450, 5, 40);
  limits_are_the_guides<double>(1, 1, 3, 2);
}

}  // namespace
}  // namespace GRAMLESS_ISA
}  // namespace gramless
