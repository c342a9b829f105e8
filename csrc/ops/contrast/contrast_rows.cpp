#include "ops/contrast/contrast_rows.hpp"

#include <algorithm>
#include <limits>

#include "engine/tile/tile_rows.hpp"
#include "ops/dispatch/padded_values.hpp"

namespace gramless {
namespace {

// The rows of a whole tile, but with few rows in total fewer, so that there are enough blocks for all threads.
std::int64_t block_rows(std::int64_t rows, Compute compute) {
  const std::int64_t tile = tile_rows(rows, element_bytes(compute)), step = tile / 4;
  return std::clamp((rows / 8 + step - 1) / step * step, step, tile);
}

}  // namespace

ContrastRows::ContrastRows(const std::vector<ArrayView>& parts, const std::vector<std::int64_t>& groups,
                           const std::vector<double>& limits, const std::vector<double>& floors, bool normalize,
                           const OpTable& ops, const Execution& execution)
    : width_(parts[0].cols),
      stride_(padded_width(width_)),
      element_bytes_(static_cast<std::int64_t>(element_bytes(execution.compute))) {
  for (const ArrayView& part : parts) part_ends_.push_back((part_ends_.empty() ? 0 : rows()) + part.rows);
  z_ = AlignedBuffer(static_cast<std::size_t>(rows() * stride_ * element_bytes_));
  inverse_norms_.resize(static_cast<std::size_t>(rows()));
  for (std::size_t p = 0; p < parts.size(); p++) {
    const std::int64_t first = part_ends_[p] - parts[p].rows;
    ops.unit_rows({parts[p], normalize, z(first), stride_, inverse_norms_.data() + first}, execution);
  }
  groups_ = padded_groups(groups, execution.compute);
  constexpr double infinity = std::numeric_limits<double>::infinity();
  limits_ = padded_values(limits.empty() ? std::vector<double>(groups.size(), infinity) : limits, execution.compute);
  floors_ = padded_values(floors.empty() ? std::vector<double>(groups.size(), -infinity) : floors, execution.compute);
  cut(groups, execution.compute);
}

void ContrastRows::cut(const std::vector<std::int64_t>& groups, Compute compute) {
  const std::int64_t most = block_rows(rows(), compute);
  std::int64_t first = 0;
  for (const std::int64_t end : part_ends_)
    while (first < end) {
      const std::int64_t length = std::min(most, end - first);
      const auto [lowest, highest] = std::minmax_element(groups.begin() + first, groups.begin() + first + length);
      blocks_.push_back({first, static_cast<int>(length), *lowest, *highest});
      first += length;
    }
}

PairSide ContrastRows::side() const {
  PairSide side;
  side.z = z_.data();
  side.stride = stride_;
  side.blocks = blocks_.data();
  side.block_count = static_cast<std::int64_t>(blocks_.size());
  side.groups = groups_.data();
  side.limits = limits_.data();
  side.floors = floors_.data();
  return side;
}

ContrastRows plain_contrast_rows(const std::vector<ArrayView>& parts, bool normalize, const OpTable& ops,
                                 const Execution& execution) {
  std::int64_t rows = 0;
  for (const ArrayView& part : parts) rows += part.rows;
  return {parts, std::vector<std::int64_t>(static_cast<std::size_t>(rows), 0), {}, {}, normalize, ops, execution};
}

void paired_cosines(const ArrayView& x, const ArrayView& y, void* products, const OpTable& ops,
                    const Execution& execution) {
  const ContrastRows of_x = plain_contrast_rows({x}, true, ops, execution),
                     of_y = plain_contrast_rows({y}, true, ops, execution);
  ops.row_products({of_x.side(), of_y.side(), of_x.width(), products}, execution);
}

}  // namespace gramless
