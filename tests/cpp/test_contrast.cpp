// The contrastive losses through this width's table and every table of this CPU, against n x n code in long double.
#include <cmath>
#include <limits>
#include <numeric>

#include "check.hpp"
#include "epilogues/logit.hpp"
#include "matrices.hpp"
#include "ops/contrast/contrast_pass.hpp"
#include "tables.hpp"

namespace gramless {
inline namespace GRAMLESS_ISA {
namespace {

using Wide = long double;
using WideRows = std::vector<std::vector<Wide>>;

// Anchors against themselves or against keys, with all options of the core.
struct Case {
  std::vector<std::int64_t> anchors, keys;  // rows of the parts
  std::int64_t width;
  double temperature;
  bool normalize = true;
  ContrastKind kind = ContrastKind::softmax;
  double limit = std::numeric_limits<double>::infinity();
};
const Case cases[] = {
    {{1, 1}, {}, 1, 0.5},
    {{5, 5}, {}, 3, 0.1},
    {{50, 50}, {}, 17, 0.5, true, ContrastKind::decoupled},
    {{97, 97}, {}, 20, 0.01},
    {{40, 40}, {}, 9, 2.0, false},
    {{30, 30}, {}, 6, 0.3, true, ContrastKind::softmax, 0.4},
    {{33}, {33, 200}, 12, 0.2},
    {{60}, {60}, 50, -0.4},
    {{20}, {20, 7}, 5, 3.0, false, ContrastKind::decoupled},
    {{25, 25, 25}, {}, 9, 0.2},  // two positives each
    {{15, 15, 15}, {}, 4, 0.5, true, ContrastKind::decoupled},
    {{30, 30}, {}, 200, 0.005},  // with one shift for all rows some sums would underflow to 0
    {{40}, {40, 50}, 9, 0.2, true, ContrastKind::log_sum_exp},  // pairs of one group are left out
    {{40}, {40}, 5, 2.0, false, ContrastKind::log_sum_exp},
};

struct Answer {
  std::vector<double> rows, columns;
  std::vector<double> grads;  // of all parts
  double temperature = 0;
};

template <class T>
class Problem {
 public:
  explicit Problem(const Case& shape) : shape_(shape) {
    unsigned seed = 3;
    for (const auto* parts : {&shape.anchors, &shape.keys})
      for (const std::int64_t rows : *parts)
        values_.push_back(testing::random_values<T>(static_cast<std::size_t>(rows * shape.width), seed++));
    for (std::size_t p = 0; p < values_.size(); p++) {
      const std::size_t part = p < shape.anchors.size() ? p : p - shape.anchors.size();
      const auto& rows = p < shape.anchors.size() ? shape.anchors : shape.keys;
      ArrayView view{
          values_[p].data(), rows[part], shape.width, 0, sizeof(T), sizeof(T) == 4 ? Dtype::float32 : Dtype::float64};
      view.row_stride = shape.width * static_cast<std::int64_t>(sizeof(T));
      (p < shape.anchors.size() ? problem_.anchors : problem_.keys).push_back(view);
      auto& groups = p < shape.anchors.size() ? problem_.anchor_groups : problem_.key_groups;
      const bool partner = p < shape.anchors.size() || part == 0;  // later keys are a queue: positive for no anchor
      const std::int64_t examples = shape.kind == ContrastKind::log_sum_exp ? 7 : rows[part];
      for (std::int64_t i = 0; i < rows[part]; i++) groups.push_back(partner ? i % examples : -1);
    }
    problem_.temperature = shape.temperature;
    problem_.normalize = shape.normalize;
    problem_.kind = shape.kind;
    if (std::isfinite(shape.limit)) {
      problem_.anchor_limits.assign(problem_.anchor_groups.size(), shape.limit);
      problem_.key_limits.assign(problem_.key_groups.size(), shape.limit);
    }
    for (std::size_t i = 0; i < problem_.anchor_groups.size(); i++) row_weights_.push_back(0.1 + 0.01 * double(i % 5));
    for (std::size_t j = 0; j < problem_.key_groups.size(); j++)
      column_weights_.push_back(problem_.key_groups[j] < 0 ? 0 : 0.2);
  }

  Answer run(const OpTable& ops, int threads, bool keep = false) const {
    const Execution how{sizeof(T) == 4 ? Compute::float32 : Compute::float64, threads, {}};
    ContrastPass pass(problem_, ops, how);
    const ContrastSums sums = pass.sums(keep, how);
    ContrastLosses losses = contrast_losses(problem_, sums);
    std::vector<std::vector<T>> grads;
    std::vector<void*> targets;
    for (const auto& values : values_) targets.push_back(grads.emplace_back(values.size()).data());
    Answer answer;
    if (keep) pass.gradients(sums, row_weights_, column_weights_, targets, how);  // kept values do not change
    answer.temperature = pass.gradients(sums, row_weights_, column_weights_, targets, how);
    answer.rows = std::move(losses.rows);
    answer.columns = std::move(losses.columns);
    for (const auto& grad : grads) answer.grads.insert(answer.grads.end(), grad.begin(), grad.end());
    return answer;
  }

  // n x n, one entry at a time.
  Answer truth() const {
    const WideRows a = rows_of(0, shape_.anchors.size()),
                   k = shape_.keys.empty() ? a : rows_of(shape_.anchors.size(), values_.size());
    WideRows da(a.size(), std::vector<Wide>(width())), dk(k.size(), std::vector<Wide>(width()));
    Answer answer;
    Wide by_temperature = 0;
    anchors(a, k, problem_.anchor_groups, shape_.keys.empty() ? problem_.anchor_groups : problem_.key_groups,
            row_weights_, da, dk, answer.rows, by_temperature);
    if (!shape_.keys.empty())
      anchors(k, a, problem_.key_groups, problem_.anchor_groups, column_weights_, dk, da, answer.columns,
              by_temperature);
    else
      for (std::size_t i = 0; i < a.size(); i++)
        for (std::size_t c = 0; c < width(); c++) da[i][c] += dk[i][c];
    answer.temperature = static_cast<double>(by_temperature);
    back(0, a, da, answer.grads);
    if (!shape_.keys.empty()) back(shape_.anchors.size(), k, dk, answer.grads);
    return answer;
  }

 private:
  std::size_t width() const { return static_cast<std::size_t>(shape_.width); }

  WideRows rows_of(std::size_t first, std::size_t last) const {
    WideRows rows;
    for (std::size_t p = first; p < last; p++)
      for (std::size_t i = 0; i < values_[p].size(); i += width()) {
        rows.emplace_back(values_[p].begin() + static_cast<std::ptrdiff_t>(i),
                          values_[p].begin() + static_cast<std::ptrdiff_t>(i + width()));
        const Wide length = std::sqrt(dot(rows.back(), rows.back()));
        for (Wide& value : rows.back()) value /= shape_.normalize ? length : 1;
      }
    return rows;
  }

  static Wide dot(const std::vector<Wide>& a, const std::vector<Wide>& b) {
    return std::inner_product(a.begin(), a.end(), b.begin(), Wide{0});
  }

  void anchors(const WideRows& a, const WideRows& k, const std::vector<std::int64_t>& groups,
               const std::vector<std::int64_t>& other_groups, const std::vector<double>& weights, WideRows& da,
               WideRows& dk, std::vector<double>& losses, Wide& by_temperature) const {
    const Wide scale = 1 / static_cast<Wide>(shape_.temperature);
    const bool over_all = shape_.kind == ContrastKind::log_sum_exp;
    for (std::size_t i = 0; i < a.size(); i++) {
      std::vector<Wide> weight(k.size());
      Wide denominator = 0, positive_logits = 0, count = 0;
      for (std::size_t j = 0; j < k.size(); j++) {
        if (shape_.keys.empty() && i == j) continue;
        const Wide cosine = dot(a[i], k[j]);
        const bool positive = groups[i] == other_groups[j] && groups[i] >= 0;
        if (positive && over_all) continue;
        if (positive) count++, positive_logits += cosine * scale;
        if (!positive && cosine > static_cast<Wide>(shape_.limit)) continue;
        if (!positive || shape_.kind == ContrastKind::softmax) weight[j] = std::exp(cosine * scale);
        denominator += weight[j];
      }
      const bool counts = over_all || count > 0;
      losses.push_back(counts ? static_cast<double>(std::log(denominator) - positive_logits / std::max(count, Wide{1}))
                              : 0);
      for (std::size_t j = 0; j < k.size() && counts; j++) {
        const bool positive = !over_all && groups[i] == other_groups[j] && !(shape_.keys.empty() && i == j);
        const Wide slope = static_cast<Wide>(weights[i]) * (weight[j] / denominator - (positive ? 1 / count : 0));
        by_temperature -= slope * dot(a[i], k[j]) * scale * scale;
        for (std::size_t c = 0; c < width(); c++) {
          da[i][c] += slope * scale * k[j][c];
          dk[j][c] += slope * scale * a[i][c];
        }
      }
    }
  }

  // From dz to dx.
  void back(std::size_t part, const WideRows& z, const WideRows& dz, std::vector<double>& grads) const {
    std::size_t within = 0;
    for (std::size_t i = 0; i < z.size(); i++, within += width()) {
      if (within == values_[part].size()) part++, within = 0;
      Wide length = 1, along = 0;
      if (shape_.normalize) {
        Wide norm2 = 0;
        for (std::size_t c = 0; c < width(); c++) norm2 += Wide(values_[part][within + c]) * values_[part][within + c];
        length = std::sqrt(norm2);
        along = dot(dz[i], z[i]);
      }
      for (std::size_t c = 0; c < width(); c++)
        grads.push_back(static_cast<double>((dz[i][c] - along * z[i][c]) / length));
    }
  }

  const Case& shape_;
  std::vector<std::vector<T>> values_;
  ContrastProblem problem_;
  std::vector<double> row_weights_, column_weights_;
};

// Errors relative to the largest value, with the digits of T.
template <class T>
void check_close(const std::vector<double>& ours, const std::vector<double>& truth, double logits) {
  double largest = 1e-3, error = 0;
  for (const double value : truth) largest = std::max(largest, std::abs(value));
  CHECK(ours.size() == truth.size());
  for (std::size_t i = 0; i < truth.size(); i++) error = std::max(error, std::abs(ours[i] - truth[i]));
  CHECK(error <= 16 * static_cast<double>(std::numeric_limits<T>::epsilon()) * (1 + logits) * largest);
}

template <class T>
void losses_and_gradients_are_right() {
  for (const Case& shape : cases) {
    const Problem<T> problem(shape);
    const Answer truth = problem.truth();
    const double logits = (shape.normalize ? 1 : 4 * static_cast<double>(shape.width)) / std::abs(shape.temperature);
    for (const OpTable* ops : tables()) {
      const Answer ours = problem.run(*ops, 2);
      check_close<T>(ours.rows, truth.rows, logits);
      check_close<T>(ours.columns, truth.columns, logits);
      check_close<T>(ours.grads, truth.grads, logits);
      check_close<T>({ours.temperature}, {truth.temperature}, logits);
    }
  }
}

TEST(contrastive_losses_and_gradients_are_those_of_n_x_n_code) {
  losses_and_gradients_are_right<float>();
  losses_and_gradients_are_right<double>();
}

// Anchors whose logits with the infinite row are -inf have finite losses, on every instruction set.
TEST(rows_that_are_not_normalised_may_hold_infinity) {
  std::vector<float> values = testing::random_values<float>(40 * 20, 5);
  values[7] = std::numeric_limits<float>::infinity();
  ContrastProblem problem;
  for (int part = 0; part < 2; part++) {
    problem.anchors.push_back({values.data() + part * 400, 20, 20, 80, 4, Dtype::float32});
    for (int i = 0; i < 20; i++) problem.anchor_groups.push_back(i);
  }
  problem.normalize = false;
  std::size_t finite = 0;
  for (const OpTable* ops : tables()) {
    const Execution how{Compute::float32, 2, {}};
    ContrastPass pass(problem, *ops, how);
    const std::vector<double> losses = contrast_losses(problem, pass.sums(false, how)).rows;
    for (std::size_t i = 1; i < losses.size(); i++) {
      CHECK(i == 20 || std::isfinite(losses[i]) == (values[20 * i + 7] < 0));
      finite += std::isfinite(losses[i]);
    }
  }
  CHECK(finite > 10);
}

// Terms far below the largest one of a sum are exactly 0: subnormal numbers would make products slow.
template <class T>
void small_weights_are_nothing(T most) {
  const Logit<T, true> logit_of{1, 0};
  CHECK(std::isnan(logit_of.weight(splat(std::numeric_limits<T>::quiet_NaN()), T(0))[0]));
  CHECK(logit_of.weight(splat(-std::numeric_limits<T>::infinity()), T(0))[0] == 0);
  std::size_t nothing = 0, something = 0;
  for (T x = 0; x > -1000; x -= T(0.37)) {
    const T weight = logit_of.weight(splat(x), T(0))[0], truth = std::exp(x);
    CHECK(std::abs(weight - truth) <= 8 * std::numeric_limits<T>::epsilon() * truth + most);
    CHECK(weight == 0 || weight >= most / 2);
    (weight == 0 ? nothing : something)++;
  }
  CHECK(nothing > 900 && something > 100);
}

TEST(weights_that_change_no_sum_are_nothing) {
  small_weights_are_nothing<float>(2e-28f);
  small_weights_are_nothing<double>(2e-278);
}

TEST(dot_products_that_were_kept_give_the_same_bits_as_new_ones) {
  for (const Case& shape : cases) {
    const Problem<float> problem(shape);
    for (const OpTable* ops : tables()) {
      const Answer anew = problem.run(*ops, 2), kept = problem.run(*ops, 2, true);
      CHECK(kept.rows == anew.rows && kept.columns == anew.columns && kept.grads == anew.grads);
      CHECK(kept.temperature == anew.temperature);
    }
  }
  for (const Case& shape : {Case{{430, 430}, {}, 40, 0.1}, Case{{300}, {300, 500}, 33, 0.2}}) {  // several tiles
    const Problem<double> problem(shape);
    CHECK(problem.run(own_table(), 1).grads == problem.run(own_table(), 3, true).grads);
  }
}

TEST(contrastive_gradients_are_the_same_bits_for_any_number_of_threads) {
  for (const Case& shape : {Case{{430, 430}, {}, 24, 0.1}, Case{{300}, {300, 500}, 10, 0.2}}) {
    const Problem<float> problem(shape);
    const Answer alone = problem.run(own_table(), 1);
    for (const int threads : {2, 3, 7}) {
      const Answer together = problem.run(own_table(), threads);
      CHECK(together.rows == alone.rows && together.columns == alone.columns && together.grads == alone.grads);
      CHECK(together.temperature == alone.temperature);
    }
  }
}

}  // namespace
}  // namespace GRAMLESS_ISA
}  // namespace gramless
