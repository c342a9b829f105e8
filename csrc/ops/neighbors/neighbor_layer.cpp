#include "ops/neighbors/neighbor_layer.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <unordered_map>

#include "ops/hsic/chained_sum.hpp"
#include "ops/hsic/column_means.hpp"
#include "support/dtype.hpp"

namespace gramless {
namespace {

constexpr std::int64_t middle_rows = 256;  // their mean is close enough to the middle
constexpr int longest_chain = 192;         // products of a tile that are added one after another

std::int64_t candidates_of(std::int64_t n, std::int64_t k) { return std::min(n - 1, k + k / 2 + 8); }

// Calls use(k, value) with the scaled numbers of a row; -0 becomes 0.
template <class Use>
void visit_row(const ScaledRows& of, std::int64_t row, Use use) {
  visit_dtype(of.x.dtype, [&]<class Stored>() {
    const char* const first = of.x.row(row);
    for (std::int64_t k = 0; k < of.x.cols; k++)
      use(k, load_element<double, Stored>(first + k * of.x.col_stride) * of.powers[row] + 0.0);
  });
}

std::uint64_t hash_of(const ScaledRows& of, std::int64_t row) {
  std::uint64_t hash = 0xcbf29ce484222325u;
  visit_row(of, row, [&](std::int64_t, double value) {
    hash = (hash ^ std::bit_cast<std::uint64_t>(value)) * 0x9e3779b97f4a7c15u;
    hash ^= hash >> 29;
  });
  return hash;
}

bool equal_rows(const ScaledRows& of, std::int64_t a, std::int64_t b) {
  std::vector<double> values(static_cast<std::size_t>(of.x.cols));
  visit_row(of, a, [&](std::int64_t k, double value) { values[static_cast<std::size_t>(k)] = value; });
  bool equal = true;
  visit_row(of, b, [&](std::int64_t k, double value) { equal &= values[static_cast<std::size_t>(k)] == value; });
  return equal;
}

}  // namespace

NeighborLayer::NeighborLayer(const ArrayView& x, std::int64_t k, const OpTable& ops, const Execution& execution)
    : x_(x), ops_(ops), k_(k), kept_(candidates_of(x.rows, k)) {
  const auto n = static_cast<std::size_t>(x.rows);
  for (std::vector<double>* values : {&powers_, &squares_, &factors_, &means_}) values->resize(n);
  origin_.resize(static_cast<std::size_t>(x.cols));
  ops.measured_rows({x, powers_.data(), squares_.data(), factors_.data()}, execution);
  for (const double factor : factors_) {
    finite_ &= !std::isnan(factor);
    zeros_ |= factor == 0;
  }
  if (!finite_) return;
  ArrayView some = x;
  some.unit = {means_.data(), factors_.data(), means_.data(), origin_.data()};
  some.rows = std::min(x.rows, middle_rows);
  origin_ = column_means(some, ops, execution);
  nearest_.resize(n * static_cast<std::size_t>(k));
  undecided_.resize(n);
}

LayerView NeighborLayer::prepare(const Execution& execution) {
  const auto n = static_cast<std::size_t>(x_.rows);
  const std::size_t padded = n + stat_padding;
  const std::size_t bytes = element_bytes(execution.compute);
  center_ = AlignedBuffer(origin_.size() * bytes);
  std::fill_n(center_.data(), origin_.size() * bytes, char{0});
  LayerView view;
  view.x = x_;
  view.x.unit = {means_.data(), factors_.data(), means_.data(), origin_.data()};
  view.center_high = view.center_low = center_.data();
  std::vector<double> squares(n);
  ops_.row_norms(view, execution, squares.data());
  largest_square_ = zeros_ ? std::max(1.0, largest_of(squares)) : largest_of(squares);
  terms_ = AlignedBuffer(padded * bytes);
  // <c, u> for a row u and the middle c, up to a constant that all rows have in common; |u| is 1, or 0.
  const auto fill = [&]<class T>(T* terms) {
    for (std::size_t i = 0; i < n; i++) terms[i] = static_cast<T>(((factors_[i] > 0 ? 0 : -1) - squares[i]) / 2);
    std::fill(terms + n, terms + padded, -std::numeric_limits<T>::infinity());
  };
  if (execution.compute == Compute::float32)
    fill(reinterpret_cast<float*>(terms_.data()));
  else
    fill(reinterpret_cast<double*>(terms_.data()));
  view.row_stats = terms_.data();
  similarities_ = AlignedBuffer(n * static_cast<std::size_t>(kept_) * bytes);
  candidates_.resize(n * static_cast<std::size_t>(kept_));
  return view;
}

// Twice the rounding error of a similarity in a tile: of converting numbers to the compute type, of a chain of
// additions, of adding chains, of the terms; and of the rows and the exact value in float64.
double NeighborLayer::noise(Compute compute) const {
  const double cols = static_cast<double>(x_.cols), half_unit = compute == Compute::float32 ? 0x1p-24 : 0x1p-53;
  const double chain = std::min<double>(cols, longest_chain) + cols / 128 + 8;
  return 2 * (chain * half_unit * largest_square_ + (2 * cols + 32) * 0x1p-53);
}

void NeighborLayer::choose(const Execution& execution) {
  ops_.chosen_rows({scaled(), k_, kept_, similarities_.data(), candidates_.data(), noise(execution.compute),
                    nearest_.data(), undecided_.data()},
                   execution);
  similarities_ = {};
  candidates_ = {};
  group_equal_rows();
}

void NeighborLayer::group_equal_rows() {
  const ScaledRows of = scaled();
  std::unordered_multimap<std::uint64_t, std::int32_t> known;  // by hash: which of scanned_
  scanned_.clear();
  same_as_.clear();
  for (std::int32_t i = 0; i < x_.rows; i++) {
    if (!undecided_[static_cast<std::size_t>(i)]) continue;
    const std::uint64_t hash = hash_of(of, i);
    const auto [first, last] = known.equal_range(hash);
    const auto same = std::find_if(first, last, [&](const auto& entry) {
      return equal_rows(of, scanned_[static_cast<std::size_t>(entry.second)], i);
    });
    if (same != last) {
      same_as_.push_back(same->second);
      continue;
    }
    same_as_.push_back(static_cast<std::int32_t>(scanned_.size()));
    known.emplace(hash, same_as_.back());
    scanned_.push_back(i);
  }
}

void NeighborLayer::scan(const Execution& execution) {
  const auto wanted = static_cast<std::size_t>(k_ + 1);  // the row itself, or one equal to it, is among them
  std::vector<std::int32_t> found(scanned_.size() * wanted);
  ops_.scanned_rows({scaled(), scanned_.data(), static_cast<std::int64_t>(scanned_.size()), k_ + 1, found.data()},
                    execution);
  std::size_t next = 0;
  for (std::int64_t i = 0; i < x_.rows; i++)
    if (undecided_[static_cast<std::size_t>(i)])
      store_nearest(i, found.data() + static_cast<std::size_t>(same_as_[next++]) * wanted);
}

// The first k of k + 1 rows that are not the row itself, in ascending order.
void NeighborLayer::store_nearest(std::int64_t row, const std::int32_t* found) {
  std::int32_t* const nearest = nearest_.data() + row * k_;
  std::int64_t count = 0;
  for (std::int64_t c = 0; count < k_; c++)
    if (found[c] != row) nearest[count++] = found[c];
  std::sort(nearest, nearest + k_);
}

std::vector<double> NeighborLayer::cosines(const Execution& execution) const {
  std::vector<double> found(nearest_.size());
  ops_.row_cosines({scaled(), k_, nearest_.data(), found.data()}, execution);
  return found;
}

}  // namespace gramless
