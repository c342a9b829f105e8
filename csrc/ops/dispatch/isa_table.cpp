// The table of this ISA's operations, under a name that the dispatcher, which is compiled for every CPU, can refer to.
#include "ops/dispatch/isa_ops.hpp"

#define GRAMLESS_JOIN(a, b) a##b
#define GRAMLESS_TABLE(isa) GRAMLESS_JOIN(table_, isa)
#define GRAMLESS_TEXT(text) #text
#define GRAMLESS_NAME(isa) GRAMLESS_TEXT(isa)

namespace gramless {

#if defined(GRAMLESS_MATRIX_UNIT)
#if !defined(GRAMLESS_ANY_RANGE)  // tests may have no code for AVX-512
#define GRAMLESS_ANY_RANGE table_avx512
#endif
extern const OpTable GRAMLESS_ANY_RANGE;
constexpr const OpTable* any_range = &GRAMLESS_ANY_RANGE;
#else
constexpr const OpTable* any_range = nullptr;
#endif

extern const OpTable GRAMLESS_TABLE(GRAMLESS_ISA);
const OpTable GRAMLESS_TABLE(GRAMLESS_ISA) = {GRAMLESS_NAME(GRAMLESS_ISA),
                                              any_range,
                                              column_sums,
                                              row_norms,
                                              tile_norms,
                                              pair_distances,
                                              gram_sums,
                                              covariance_sums,
                                              covariance_grad,
                                              count_distances,
                                              collect_distances,
                                              layer_dots_bytes,
                                              kernel_grad,
                                              finish_kernel_grad,
                                              unit_rows,
                                              row_products,
                                              hardest_limits,
                                              dots_bytes,
                                              softmax_sums,
                                              softmax_grad,
                                              distill_sums,
                                              distill_grad,
                                              sigmoid_pairs,
                                              finish_grad,
                                              nearest_rows,
                                              measured_rows,
                                              chosen_rows,
                                              scanned_rows,
                                              row_cosines};

}  // namespace gramless
