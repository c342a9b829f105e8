// One side of a contrastive problem made ready for tiles: unit rows in the compute type, groups, limits, row blocks.
#pragma once

#include <vector>

#include "ops/dispatch/op_table.hpp"
#include "support/aligned_buffer.hpp"

namespace gramless {

class ContrastRows {
 public:
  // The concatenated rows of `parts`. Row blocks end where a part ends, so that each lies in one part's gradient.
  // `limits` and `floors` are empty where they leave no negative out.
  ContrastRows(const std::vector<ArrayView>& parts, const std::vector<std::int64_t>& groups,
               const std::vector<double>& limits, const std::vector<double>& floors, bool normalize, const OpTable& ops,
               const Execution& execution);

  PairSide side() const;
  std::int64_t rows() const { return part_ends_.back(); }
  std::int64_t width() const { return width_; }
  std::int64_t stride() const { return stride_; }
  const std::vector<RowBlock>& blocks() const { return blocks_; }
  const std::vector<std::int64_t>& part_ends() const { return part_ends_; }
  void* z(std::int64_t row) const { return z_.data() + row * stride_ * element_bytes_; }
  const double* inverse_norms(std::int64_t row) const { return inverse_norms_.data() + row; }

 private:
  void cut(const std::vector<std::int64_t>& groups, Compute compute);

  std::int64_t width_, stride_, element_bytes_;
  std::vector<std::int64_t> part_ends_;  // the number of rows up to the end of each part
  std::vector<RowBlock> blocks_;
  std::vector<double> inverse_norms_;
  AlignedBuffer z_, groups_, limits_, floors_;
};

// Rows without groups or limits.
ContrastRows plain_contrast_rows(const std::vector<ArrayView>& parts, bool normalize, const OpTable& ops,
                                 const Execution& execution);

// The dot products of rows i of two arrays, divided by their lengths, into `products` (n) of the compute type: bitwise
// those that limits are compared with where the arrays guide.
void paired_cosines(const ArrayView& x, const ArrayView& y, void* products, const OpTable& ops,
                    const Execution& execution);

}  // namespace gramless
