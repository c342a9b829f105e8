// Element types by the names numpy and torch have for them.
#pragma once

#include <pybind11/pybind11.h>

#include <string>
#include <string_view>
#include <utility>

#include "support/array.hpp"

namespace gramless {

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

}  // namespace gramless
