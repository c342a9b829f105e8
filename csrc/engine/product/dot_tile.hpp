// The inner loop of all ops: a tile of dot products between two blocks of rows. It knows no kernel function.
#pragma once

#include "engine/product/product_amx.hpp"
#include "engine/product/product_simd.hpp"

namespace gramless {
inline namespace GRAMLESS_ISA {

#if defined(GRAMLESS_MATRIX_UNIT)
template <class T>
using Product = std::conditional_t<sizeof(T) == 4, ProductAmx, ProductSimd<T>>;
#else
template <class T>
using Product = ProductSimd<T>;
#endif

struct LeaveAsIs {
  void operator()(int, int) const {}
};

// Types whose finish does not read vectors without an entry that the tile owns.
struct LeaveOwned : LeaveAsIs {
  static constexpr bool reads_owned_only = true;
};

// The tile of dot products of rows [first_i, ...) of x with rows [first_j, ...) of y, over columns [first_k, end_k).
// finish(i, j) is called when the register tile at (i, j) has its dot products, which are then still in the L1 cache.
template <class T, class Finish = LeaveAsIs>
void dot_tile(const CenteredRows<T>& x, std::int64_t first_i, const CenteredRows<T>& y, std::int64_t first_j,
              std::int64_t first_k, std::int64_t end_k, PackedRows<T>& packed, const Tile<T>& tile,
              Finish&& finish = {}) {
  Product<T>::dot_tile(x, first_i, y, first_j, first_k, end_k, packed, tile, finish);
}

}  // namespace GRAMLESS_ISA
}  // namespace gramless
