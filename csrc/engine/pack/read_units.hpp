// Elements of rows of length 1. Not inlined: it would take registers from every loop that reads rows.
#pragma once

#include "engine/tile/tile.hpp"
#include "support/dtype.hpp"

namespace gramless {
inline namespace GRAMLESS_ISA {

// Columns [first, first + count) of row i of a view of unit rows.
template <class T>
__attribute__((noinline)) void read_units(const ArrayView& x, std::int64_t i, std::int64_t first, int count,
                                          T* values) {
  visit_dtype(x.dtype, [&]<class Stored>() { load_unit_row<T, Stored>(x, i, first, count, values); });
}

}  // namespace GRAMLESS_ISA
}  // namespace gramless
