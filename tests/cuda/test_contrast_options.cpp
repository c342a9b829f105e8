// The contrastive losses without the negatives above a limit, and with a temperature in the device's memory.
#include "contrast_problem.hpp"

namespace gramless::cuda {
namespace {

const std::vector<ContrastCase> limited = {
    {{33, 33}, {}, 12, 0.2, true, ContrastKind::softmax, 0, false, 0.2},
    {{50}, {}, 20, 0.01, true, ContrastKind::softmax, 7, false, 0.1},
    {{40, 40}, {}, 17, 0.3, true, ContrastKind::decoupled, 0, false, 0.3},
    {{33}, {33}, 12, -0.2, true, ContrastKind::softmax, 0, true, 0.3},
    {{130}, {130, 150}, 9, 8.0, false, ContrastKind::softmax, 0, false, 0.2},
    {{70, 70}, {}, 6, 8.0, false, ContrastKind::softmax, 0, false, 0.2, true},
};

TEST(contrastive_losses_have_no_negatives_above_a_limit) {
  if (!in_all_schedules) return check_cases({limited[0]}, Dtype::float32, Operand::split);
  use_schedule(2);
  check_cases(limited, Dtype::float32, Operand::split);
  check_cases(limited, Dtype::float64, Operand::float64);
  check_cases(limited, Dtype::float16, Operand::float16);
}

const std::vector<ContrastCase> without_hardest = {
    {{33, 33}, {}, 12, 0.2, true, ContrastKind::softmax, 0, false, 0, false, false, 0.1},
    {{50}, {}, 20, 0.1, true, ContrastKind::softmax, 7, false, 0, false, false, 0.25},
    {{40, 40}, {}, 17, -0.3, true, ContrastKind::decoupled, 0, false, 0, false, false, 0.5},
    {{33}, {33}, 12, 0.2, true, ContrastKind::softmax, 0, true, 0, false, false, 0.3},
    {{30}, {30, 150}, 9, 8.0, false, ContrastKind::softmax, 0, false, 0, false, false, 0.9},
    {{12}, {12, 50}, 9, 0.5, true, ContrastKind::softmax, 0, true, 0, false, false, 0.2},
    {{2, 2}, {}, 5, 0.2, true, ContrastKind::softmax, 0, false, 0, false, false, 0.4},
    {{21}, {}, 9, 0.5, true, ContrastKind::log_sum_exp, 0, false, 0, false, false, 0.2},
};

TEST(contrastive_losses_have_none_of_the_hardest_negatives) {
  for (const Dtype dtype : {Dtype::float32, Dtype::float64}) {
    if (dtype != Dtype::float32 && !in_all_schedules) continue;
    const ContrastCase shape{{70, 70}, {}, 9, 0.2, true, ContrastKind::softmax, 0, false, 0, false, false, 0.1, 0};
    const ContrastInput input = input_of(shape, dtype);
    check_case(shape, dtype,
               same_in_every_schedule([&] { return ours(shape, input, dtype, default_operand(dtype, false)); }));
    use_schedule(2);
    if (in_all_schedules) check_cases(without_hardest, dtype, default_operand(dtype, false));
  }
}

// Equal negatives are all left out, and an anchor with a NaN has no limit.
TEST(contrastive_losses_have_equal_negatives_left_out_together) {
  if (!in_all_schedules) return;
  use_schedule(3);
  ContrastCase shape{{30, 30}, {}, 3, 4.0, false, ContrastKind::softmax, 0, false, 0, true, false, 0.3};
  for (const Dtype dtype : float_dtypes) check_cases({shape}, dtype, default_operand(dtype, false));
  ContrastInput input = input_of(shape, Dtype::float32);
  input.parts[0] = DeviceMatrix(Dtype::float32, 30, 3, [](std::int64_t i, std::int64_t k) {
    return i == 4 ? NAN : static_cast<double>(i % 5 - k);
  });
  for (const double loss : ours(shape, input, Dtype::float32, Operand::split).losses) CHECK(std::isnan(loss));
}

void check_temperature_of_the_device(ContrastCase shape, Dtype dtype) {
  const ContrastInput input = input_of(shape, dtype);
  const auto answer = [&](bool on_device) {
    shape.temperature_on_device = on_device;
    return ours(shape, input, dtype, default_operand(dtype, false));
  };
  const ContrastAnswer found = answer(true);
  CHECK(found == answer(false));
  check_case(shape, dtype, found);
}

// With one shift for all anchors, with running ones, and for rows of any length.
TEST(contrastive_losses_have_the_same_bits_with_a_temperature_of_the_device) {
  use_schedule(4);
  check_temperature_of_the_device({{5, 5}, {}, 12, 0.2}, Dtype::float32);
  if (!in_all_schedules) return;
  for (const Dtype dtype : {Dtype::float32, Dtype::float64}) {
    check_temperature_of_the_device({{40}, {3}, 9, -0.005, true, ContrastKind::log_sum_exp}, dtype);
    check_temperature_of_the_device({{20}, {50}, 9, 3.0, false, ContrastKind::softmax, 4}, dtype);
  }
}

TEST(a_temperature_of_the_device_that_is_0_or_not_finite_gives_nan) {
  use_schedule(0);
  for (const bool normalize : {true, false})
    for (const double temperature : {0.0, static_cast<double>(INFINITY), static_cast<double>(NAN)}) {
      ContrastCase shape{{5, 5}, {}, 12, temperature, normalize};
      shape.temperature_on_device = true;
      const ContrastInput input = input_of(shape, Dtype::float32);
      for (const double loss : ours(shape, input, Dtype::float32, Operand::split).losses) CHECK(std::isnan(loss));
    }
}

// Otherwise one anchor of a pair might leave out the other but not vice versa. The dot product of orthogonal rows is
// only rounding error.
TEST(contrastive_losses_have_one_dot_product_for_a_pair_in_either_order) {
  if (!in_all_schedules) return;  // no barrier of its own
  use_schedule(0);
  const ContrastCase shape{{1}, {1}, 12, 1.0, false, ContrastKind::log_sum_exp};
  for (const Dtype dtype : float_dtypes)
    for (unsigned seed = 0; seed < 8; seed++) {
      std::vector<double> rows[2];
      const auto noise = normal_entries(seed);
      for (auto& row : rows)
        for (std::int64_t k = 0; k < shape.width; k++) row.push_back(noise(0, k));
      const auto dot = [](const auto& x, const auto& y) {
        return std::inner_product(x.begin(), x.end(), y.begin(), 0.0);
      };
      const double along = dot(rows[0], rows[1]) / dot(rows[0], rows[0]);
      for (std::size_t k = 0; k < rows[1].size(); k++) rows[1][k] -= along * rows[0][k];
      const auto logit = [&](int first) {
        ContrastInput input;
        for (const int which : {first, 1 - first}) {
          const auto entry = [&](std::int64_t, std::int64_t k) { return rows[which][static_cast<std::size_t>(k)]; };
          input.parts.emplace_back(dtype, 1, shape.width, entry);
          input.groups.push_back(-1);
          input.weights.push_back(1);
        }
        return ours(shape, input, dtype, default_operand(dtype, false)).losses;
      };
      CHECK(logit(0) == logit(1));
    }
}

}  // namespace
}  // namespace gramless::cuda
