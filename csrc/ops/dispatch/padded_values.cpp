#include "ops/dispatch/padded_values.hpp"

namespace gramless {
namespace {

template <class Narrow, class Wide, class Value>
AlignedBuffer padded(const std::vector<Value>& values, Compute compute) {
  const std::size_t count = values.size() + vector_padding;
  AlignedBuffer buffer(count * (compute == Compute::float32 ? sizeof(Narrow) : sizeof(Wide)));
  const auto fill = [&](auto* stored) {
    for (std::size_t i = 0; i < count; i++)
      stored[i] = static_cast<std::remove_reference_t<decltype(*stored)>>(i < values.size() ? values[i] : Value{});
  };
  if (compute == Compute::float32)
    fill(reinterpret_cast<Narrow*>(buffer.data()));
  else
    fill(reinterpret_cast<Wide*>(buffer.data()));
  return buffer;
}

}  // namespace

AlignedBuffer padded_values(const std::vector<double>& values, Compute compute) {
  return padded<float, double>(values, compute);
}

AlignedBuffer padded_groups(const std::vector<std::int64_t>& groups, Compute compute) {
  return padded<std::int32_t, std::int64_t>(groups, compute);
}

std::int64_t padded_width(std::int64_t width) {
  constexpr std::int64_t line = 16;
  const std::int64_t lines = (width + line - 1) / line;
  return line * (lines + (lines % 2 == 0));
}

}  // namespace gramless
