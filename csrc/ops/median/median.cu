// Walk over rounds of tiles -> squared distances -> counts of their bits, once per digit: the CUDA twin of median.cpp.
#include <cmath>

#include "engine/tile/owned.cuh"
#include "ops/median/median.cuh"

namespace gramless::cuda {
namespace {

constexpr int pick_threads = 256;

template <class T>
using BitsOf = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;

// Nonnegative floats are ordered as their bits are.
template <class T>
__device__ BitsOf<T> bits_of_distance(T value) {
  BitsOf<T> bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}
template <class T>
__device__ double distance_of_bits(unsigned long long known) {
  const auto bits = static_cast<BitsOf<T>>(known);
  T value;
  memcpy(&value, &bits, sizeof value);
  return static_cast<double>(value);
}

// The bits that a pass counts: `width` bits from `shift` on.
struct Digit {
  int width, shift;
};
Digit digit_of(int bits, int pass) {
  const int above = bits - pass * digit_bits, shift = above > digit_bits ? above - digit_bits : 0;
  return {above - shift, shift};
}

// The ranks among pairs i < j of the two middle ones of all n^2 distances: sorted, the diagonal's zeros come first,
// with negative ranks, and every other distance occurs twice.
__device__ long long median_rank(std::int64_t n, bool include_diagonal, int which) {
  const long long zeros = include_diagonal ? n : 0, total = static_cast<long long>(n) * (n - 1) + zeros;
  const long long rank = which == 0 ? (total - 1) / 2 : total / 2;
  return rank < zeros ? -1 : (rank - zeros) / 2;
}

__global__ void __launch_bounds__(pick_threads)
    start_selection(std::int64_t n, bool include_diagonal, Selection* selection) {
  for (int i = static_cast<int>(threadIdx.x); i < digit_values; i += pick_threads)
    selection->counts[0][i] = selection->counts[1][i] = 0;
  if (threadIdx.x >= 2) return;
  const long long rank = median_rank(n, include_diagonal, static_cast<int>(threadIdx.x));
  selection->known[threadIdx.x] = 0;
  selection->rank[threadIdx.x] = rank < 0 ? 0 : static_cast<unsigned long long>(rank);
  if (threadIdx.x == 0) selection->nans = selection->zero_distances = 0;
}

// Whether most distances are 0 up to rounding, and some are not: the median is then that of the others.
__device__ bool most_distances_are_zero(const Selection& selection, std::int64_t n, bool include_diagonal) {
  const auto pairs = static_cast<unsigned long long>(n) * static_cast<unsigned long long>(n - 1) / 2;
  const auto zeros = include_diagonal ? static_cast<unsigned long long>(n) : 0;
  return 2 * (zeros + 2 * selection.zero_distances) > zeros + 2 * pairs && selection.zero_distances < pairs;
}

// Counts the digits of the distances whose higher bits equal the known ones. Distances within rounding count as 0.
template <class Operand>
__global__ void __launch_bounds__(SquareShape<Operand>::threads)
    count_digits(DeviceLayer<Operand> layer, RoundSchedule rounds, std::int64_t n, Digit digit, Selection* selection) {
  using Shape = SquareShape<Operand>;
  using Tile = DotTile<Operand, Shape>;
  using T = typename Operand::Value;
  const BlockPair pair = rounds.pair(blockIdx.x, blockIdx.y);
  if (pair.i < 0) return;
  char* const memory = shared_memory<char>();
  Tile tile(memory);
  const std::int64_t first_row = pair.i * Shape::rows, first_col = pair.j * Shape::cols;
  tile.multiply(layer.rows, first_row, layer.rows, first_col);
  auto* const counts = reinterpret_cast<unsigned*>(memory);  // (2, digit_values)
  for (int i = static_cast<int>(threadIdx.x); i < 2 * digit_values; i += Shape::threads) counts[i] = 0;
  const BitsOf<T> known[2] = {static_cast<BitsOf<T>>(selection->known[0]), static_cast<BitsOf<T>>(selection->known[1])};
  __syncthreads();  // all threads have set the counts to 0
  const OwnedPairs place(first_row, n, first_col, n, true);
  const bool diagonal = first_row == first_col;
  const int above = digit.shift + digit.width;  // a shift by all bits would be undefined
  const bool first_pass = above == 8 * static_cast<int>(sizeof(T));
  unsigned nans = 0, zero_distances = 0;
  constexpr T noise = std::is_same_v<T, double> ? T(16 * 0x1p-53) : T(32 * 0x1p-24);  // tensor cores truncate sums
#pragma unroll
  for (int c = 0; c < Tile::own_cols; c++) {
    forget_loads();  // values are read again, for no registers are left
    const std::int64_t j = first_col + tile.col(c);
    const T norm = layer.norms[j], scale = is_scaled<Operand> ? layer.scales[j] : T(1);
#pragma unroll
    for (int r = 0; r < Tile::own_rows; r++) {
      const std::int64_t i = first_row + tile.row(r);
      const T row_scale = is_scaled<Operand> ? layer.scales[i] : T(1);
      const T dot = layer.unscaled(tile.at(r, c), row_scale, scale), norms = layer.norms[i] + norm;
      const T distance2 = norms - T(2) * dot;
      const bool owned = place.owns(tile.row(r), tile.col(c)) && !(diagonal && tile.row(r) > tile.col(c));
      if (!owned) continue;
      if (distance2 != distance2) {
        nans++;
        continue;
      }
      const bool is_zero = distance2 < noise * norms || !(T(0) < distance2);
      if (first_pass && is_zero) zero_distances++;
      const BitsOf<T> bits = bits_of_distance(is_zero ? T(0) : distance2);
      const auto value = static_cast<unsigned>(bits >> digit.shift) & static_cast<unsigned>((1 << digit.width) - 1);
#pragma unroll
      for (int which = 0; which < 2; which++)
        if (first_pass || bits >> above == known[which])
          atomicAdd(&counts[which * digit_values + static_cast<int>(value)], 1u);
    }
  }
  if (nans > 0) atomicAdd(&selection->nans, static_cast<unsigned long long>(nans));
  if (zero_distances > 0) atomicAdd(&selection->zero_distances, static_cast<unsigned long long>(zero_distances));
  __syncthreads();  // all threads have counted their values
  for (int i = static_cast<int>(threadIdx.x); i < 2 * digit_values; i += Shape::threads)
    if (counts[i] > 0) atomicAdd(&selection->counts[0][0] + i, static_cast<unsigned long long>(counts[i]));
}

// Determines one more digit of each statistic.
__global__ void __launch_bounds__(pick_threads)
    pick_digits(Digit digit, std::int64_t n, bool include_diagonal, bool first_pass, Selection* selection) {
  if (threadIdx.x < 2) {
    const int which = static_cast<int>(threadIdx.x);
    unsigned long long rank = selection->rank[which];
    if (first_pass && most_distances_are_zero(*selection, n, include_diagonal)) {
      const auto pairs = static_cast<unsigned long long>(n) * static_cast<unsigned long long>(n - 1) / 2;
      const auto others = pairs - selection->zero_distances;
      rank = selection->zero_distances + (which == 0 ? (others - 1) / 2 : others / 2);
    }
    int value = 0;
    while (value + 1 < 1 << digit.width && rank >= selection->counts[which][value])
      rank -= selection->counts[which][value++];
    selection->rank[which] = rank;
    selection->known[which] = selection->known[which] << digit.width | static_cast<unsigned long long>(value);
  }
  __syncthreads();  // the counts have been read
  for (int i = static_cast<int>(threadIdx.x); i < digit_values; i += pick_threads)
    selection->counts[0][i] = selection->counts[1][i] = 0;
}

template <class T>
__global__ void finish_median(const Selection* selection, std::int64_t n, bool include_diagonal, double* median) {
  double middle[2];
  for (int which = 0; which < 2; which++)
    middle[which] =
        median_rank(n, include_diagonal, which) < 0 && !most_distances_are_zero(*selection, n, include_diagonal)
            ? 0
            : distance_of_bits<T>(selection->known[which]);
  const double value = middle[0] == middle[1] ? middle[0] : 0.5 * (middle[0] + middle[1]);  // equal infinities stay
  *median = selection->nans > 0 ? static_cast<double>(NAN) : value;
}

}  // namespace

template <class Operand>
void DeviceMedian<Operand>::run(const DeviceLayer<Operand>& layer, bool include_diagonal, double* median,
                                LaunchStream& launches) const {
  using Shape = SquareShape<Operand>;
  using T = typename Operand::Value;
  constexpr std::size_t counts_bytes = 2 * digit_values * sizeof(unsigned), ring = DotTile<Operand, Shape>::ring_bytes;
  constexpr int bits = 8 * static_cast<int>(sizeof(T));
  const RoundSchedule rounds{blocks_of(rows_, Shape::rows)};
  launches.launch(start_selection, {1}, pick_threads, 0, rows_, include_diagonal, selection_);
  for (int pass = 0; pass * digit_bits < bits; pass++) {
    const Digit digit = digit_of(bits, pass);
    launches.launch(count_digits<Operand>,
                    {static_cast<unsigned>(rounds.count()), static_cast<unsigned>(rounds.pairs_per_round())},
                    Shape::threads, counts_bytes > ring ? counts_bytes : ring, layer, rounds, rows_, digit, selection_);
    launches.launch(pick_digits, {1}, pick_threads, 0, digit, rows_, include_diagonal, pass == 0, selection_);
  }
  launches.launch(finish_median<T>, {1}, 1, 0, selection_, rows_, include_diagonal, median);
}

template class DeviceMedian<BfloatOperand>;
template class DeviceMedian<HalfOperand>;
template class DeviceMedian<SplitOperand>;
template class DeviceMedian<Tf32Operand>;
template class DeviceMedian<DoubleOperand>;

}  // namespace gramless::cuda
