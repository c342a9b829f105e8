// Random matrices of every dtype that kernels accept, in any layout, with their values after rounding to the dtype.
#pragma once

#include <functional>
#include <memory>
#include <random>

#include "device_memory.hpp"

namespace gramless::cuda {

constexpr Dtype float_dtypes[] = {Dtype::float32, Dtype::float16, Dtype::bfloat16, Dtype::float64};

inline std::size_t bytes_of(Dtype dtype) { return dtype == Dtype::float64 ? 8 : dtype == Dtype::float32 ? 4 : 2; }

inline double epsilon_of(Dtype dtype) {
  switch (dtype) {
    case Dtype::float64:
      return 0x1p-52;
    case Dtype::float16:
      return 0x1p-10;
    case Dtype::bfloat16:
      return 0x1p-7;
    default:
      return 0x1p-23;
  }
}

inline double rounded_to(Dtype dtype, double value) {
  switch (dtype) {
    case Dtype::float64:
      return value;
    case Dtype::float16:
      return widen_half(half_bits(static_cast<float>(value)));
    case Dtype::bfloat16:
      return widen(BFloat16{bfloat_bits(static_cast<float>(value))});
    default:
      return static_cast<float>(value);
  }
}

inline void store(Dtype dtype, char* address, double value) {
  const auto put = [&](auto stored) { std::memcpy(address, &stored, sizeof stored); };
  if (dtype == Dtype::float64) put(value);
  if (dtype == Dtype::float32) put(static_cast<float>(value));
  if (dtype == Dtype::float16) put(half_bits(static_cast<float>(value)));
  if (dtype == Dtype::bfloat16) put(bfloat_bits(static_cast<float>(value)));
}

inline double load(Dtype dtype, const char* address) {
  double value = 0;
  visit_dtype(dtype, [&]<class Stored>() { value = load_element<double, Stored>(address); });
  return value;
}

class DeviceMatrix {
 public:
  using Entry = std::function<double(std::int64_t i, std::int64_t k)>;

  // Column-major on request, with `gap` unused elements between columns.
  DeviceMatrix(Dtype dtype, std::int64_t rows, std::int64_t cols, const Entry& entry, bool column_major = false,
               std::int64_t gap = 0)
      : memory_(static_cast<std::size_t>((column_major ? cols : rows) * ((column_major ? rows : cols) + gap)) *
                bytes_of(dtype)) {
    const auto size = static_cast<std::int64_t>(bytes_of(dtype));
    view_ = {memory_.as<char>(),
             rows,
             cols,
             size * (column_major ? 1 : cols + gap),
             size * (column_major ? rows + gap : 1),
             dtype};
    for (std::int64_t i = 0; i < rows; i++)
      for (std::int64_t k = 0; k < cols; k++) {
        const double value = rounded_to(dtype, entry(i, k));
        values_.push_back(value);
        store(dtype, memory_.as<char>() + i * view_.row_stride + k * view_.col_stride, value);
      }
  }

  const Matrix& view() const { return view_; }
  std::int64_t rows() const { return view_.rows; }
  std::int64_t cols() const { return view_.cols; }
  double value(std::int64_t i, std::int64_t k) const { return values_[static_cast<std::size_t>(i * view_.cols + k)]; }

 private:
  DeviceMemory memory_;
  Matrix view_;
  std::vector<double> values_;
};

inline DeviceMatrix::Entry normal_entries(unsigned seed, double mean = 0) {
  auto random = std::make_shared<std::mt19937>(seed);
  auto normal = std::make_shared<std::normal_distribution<double>>(mean, 1.0);
  return [random, normal](std::int64_t, std::int64_t) { return (*normal)(*random); };
}

// The tolerance rule over many inputs: error(ours) <= 2 error(naive in the same dtype) + floor(dtype).
struct Accuracy {
  double ours = 0, naive = 0;

  void add(double our_value, double naive_value, double truth) {
    const double error = std::abs(our_value - truth), of_naive = std::abs(naive_value - truth);
    ours = error > ours || std::isnan(error) ? error : ours;
    naive = of_naive > naive ? of_naive : naive;
  }
  bool holds(Dtype dtype, const char* what) const {
    const double floor = dtype == Dtype::float64 ? 1e-14 : 4 * epsilon_of(dtype);
    const bool good = ours <= 2 * naive + floor;
    if (!good || std::getenv("GRAMLESS_VERBOSE"))
      std::printf("  %s: error %.2e, naive %.2e, floor %.2e\n", what, ours, naive, floor);
    return good;
  }
};

inline const char* name_of(Dtype dtype) {
  switch (dtype) {
    case Dtype::float64:
      return "float64";
    case Dtype::float16:
      return "float16";
    case Dtype::bfloat16:
      return "bfloat16";
    default:
      return "float32";
  }
}

}  // namespace gramless::cuda
