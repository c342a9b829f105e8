// Conversions of a caller's arguments from Python, for both extension modules. User input is checked in Python; the
// checks here are assertions.
#pragma once

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "ops/api.hpp"

namespace gramless {

// Element types by their names in numpy and torch.
constexpr std::pair<std::string_view, Dtype> dtype_names[] = {
    {"float32", Dtype::float32},   {"float64", Dtype::float64}, {"float16", Dtype::float16},
    {"bfloat16", Dtype::bfloat16}, {"int8", Dtype::int8},       {"int16", Dtype::int16},
    {"int32", Dtype::int32},       {"int64", Dtype::int64},     {"uint8", Dtype::uint8},
    {"uint16", Dtype::uint16},     {"uint32", Dtype::uint32},   {"uint64", Dtype::uint64},
    {"bool", Dtype::boolean}};

inline Dtype named_dtype(std::string_view name) {
  for (const auto& [known, dtype] : dtype_names)
    if (known == name) return dtype;
  throw pybind11::type_error("dtype " + std::string(name) + " is not supported");
}

// (address, rows, columns, row stride, column stride, dtype name), strides in bytes.
inline Matrix described_matrix(pybind11::handle description) {
  const auto described = pybind11::reinterpret_borrow<pybind11::tuple>(description);
  return {reinterpret_cast<const void*>(described[0].cast<std::uintptr_t>()),
          described[1].cast<std::int64_t>(),
          described[2].cast<std::int64_t>(),
          described[3].cast<std::int64_t>(),
          described[4].cast<std::int64_t>(),
          named_dtype(described[5].cast<std::string>())};
}

// (formula, sigma or None, scale, include_diagonal, median_rows or None, numbers): `encode` of gramless/kernels.py.
// The cosine of two rows is their product where they have length 1.
inline KernelSpec kernel_spec(pybind11::handle encoded) {
  using Numbers = std::vector<std::optional<double>>;
  const auto [formula, sigma, scale, include_diagonal, median_rows, numbers] =
      encoded
          .cast<std::tuple<std::string, std::optional<double>, double, bool, std::optional<std::int64_t>, Numbers>>();
  if (formula == "cosine") return {.rows = RowForm::unit_or_zero};
  if (formula == "cosine distance") return {.rows = RowForm::unit};
  if (formula == "rbf of unit rows") return {.formula = Rbf{}, .sigma = sigma, .rows = RowForm::unit_or_zero};
  if (formula == "correlation") return {.rows = RowForm::centered_unit};
  std::optional<Kernel> known = kernel_named(formula);
  if (!known) throw pybind11::value_error("unknown kernel '" + formula + "'");
  std::visit(
      [&]<class Alternative>(Alternative& kernel) {
        if constexpr (requires { kernel.state(numbers); }) kernel.state(numbers);
      },
      *known);
  return {*known, sigma, scale, include_diagonal, median_rows};
}

inline Estimator estimator(const std::string& name) {
  if (name == "unbiased") return Estimator::unbiased;
  if (name == "biased") return Estimator::biased;
  if (name == "rsa_pearson") return Estimator::rsa_pearson;
  if (name == "rsa_cosine") return Estimator::rsa_cosine;
  throw pybind11::value_error("unknown estimator '" + name + "'");
}

inline ContrastKind contrast_kind(const std::string& name) {
  if (name == "softmax") return ContrastKind::softmax;
  if (name == "decoupled") return ContrastKind::decoupled;
  if (name == "log_sum_exp") return ContrastKind::log_sum_exp;
  throw pybind11::value_error("unknown kind of loss '" + name + "'");
}

// arrays: the student, its teacher, the student's queue and the teacher's or None, each as `matrix` reads it.
template <class Read>
DistillTask distill_task(const pybind11::sequence& arrays, double temperature, double teacher_temperature,
                         bool normalize, Read matrix) {
  DistillTask task;
  task.student = matrix(arrays[0]);
  task.teacher = matrix(arrays[1]);
  task.queue = matrix(arrays[2]);
  if (!arrays[3].is_none()) task.teacher_queue = matrix(arrays[3]);
  task.temperature = temperature;
  task.teacher_temperature = teacher_temperature;
  task.normalize = normalize;
  return task;
}

}  // namespace gramless
