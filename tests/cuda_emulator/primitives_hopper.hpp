// The emulated twins of engine/instructions/ptx_hopper.cuh.
#pragma once

#include <array>

#include "cuda_emulator/asynchronous.hpp"
#include "cuda_emulator/primitives.hpp"

namespace gramless::cuda {

constexpr bool compiled_for_hopper = true;

inline void trap() { emulator::fail("trap"); }

template <auto>
int code_version() {
  return 90;
}

inline std::uint32_t shared_address(const void* address) {
  const emulator::Bookkeeping own;
  const auto offset = static_cast<const char*>(address) - emulator::block->shared;
  if (offset < 0 || offset >= static_cast<std::ptrdiff_t>(emulator::block->shared_bytes))
    emulator::fail("an address is not in shared memory");
  return static_cast<std::uint32_t>(offset);
}

// The swizzle permutes 16-byte pieces within eight rows of 128 bytes.
inline std::uint32_t swizzled_box(std::uint32_t address) { return address ^ (address >> 3 & 0x70u); }

struct TensorMap {
  const std::uint16_t* elements;
  std::int64_t width, height;
  int box_rows;
};

inline const char* map_rows(TensorMap& map, const void* rows, std::int64_t width, std::int64_t height, int box_rows) {
  if (reinterpret_cast<std::uintptr_t>(rows) % 16 != 0 || width % 8 != 0) return "rows to map are not aligned";
  if (box_rows > 256) return "a box has more than 256 rows";
  map = {static_cast<const std::uint16_t*>(rows), width, height, box_rows};
  return nullptr;
}

namespace detail {

inline emulator::PhaseBarrier& barrier_at(const Barrier* address, Site site) {
  const auto found = emulator::block->phase_barriers.find(address);
  if (found == emulator::block->phase_barriers.end())
    emulator::fail("a barrier is used before it is initialized, at " + site.text());
  return found->second;
}

inline void end_phase_if_complete(emulator::PhaseBarrier& barrier) {
  if (barrier.missing > 0 || barrier.bytes > 0) return;
  barrier.phase++;
  barrier.missing = barrier.arrivals;
  for (emulator::Thread* thread : barrier.waiting) emulator::wake(*thread);
  barrier.waiting.clear();
}

inline void arrive(Barrier& barrier, std::int64_t bytes, Site site) {
  const emulator::Bookkeeping own;
  emulator::PhaseBarrier& state = barrier_at(&barrier, site);
  emulator::release(state.tokens[state.phase % 2]);
  if ((state.bytes += bytes) >= 1 << 20) emulator::fail("a barrier expects too many bytes at " + site.text());
  state.missing--;
  end_phase_if_complete(state);
}

inline void land_bytes(Barrier& barrier, std::int64_t bytes, Site site) {
  const emulator::Bookkeeping own;
  emulator::PhaseBarrier& state = barrier_at(&barrier, site);
  emulator::release(state.tokens[state.phase % 2]);
  if ((state.bytes -= bytes) < 0) emulator::fail("more bytes land at a barrier than it expects, at " + site.text());
  end_phase_if_complete(state);
}

}  // namespace detail

inline void initialize_barrier(Barrier& barrier, int arrivals, Site site = emulator::here()) {
  const emulator::Bookkeeping own;
  if (shared_address(&barrier) % 8 != 0) emulator::fail("a barrier is not aligned at " + site.text());
  emulator::PhaseBarrier state;
  state.arrivals = state.missing = arrivals;
  for (char*& token : state.tokens) token = emulator::new_token();
  emulator::block->phase_barriers[&barrier] = state;
}
inline void publish_barriers() {
  const emulator::Bookkeeping own;
  for (auto& [address, barrier] : emulator::block->phase_barriers) barrier.published = true;
}
inline void arrive(Barrier& barrier, Site site = emulator::here()) { detail::arrive(barrier, 0, site); }
inline void arrive_expecting(Barrier& barrier, int bytes, Site site = emulator::here()) {
  detail::arrive(barrier, bytes, site);
}
inline void wait_for_phase(Barrier& barrier, unsigned parity, Site site = emulator::here()) {
  const emulator::Bookkeeping own;
  emulator::PhaseBarrier& state = detail::barrier_at(&barrier, site);
  while (state.phase % 2 == parity) {
    state.waiting.push_back(&emulator::self());
    emulator::wait_here(site);
  }
  emulator::acquire(state.tokens[parity]);
}

inline void copy_box(void* to, const TensorMap& map, int row, int col, Barrier& landed, Site site = emulator::here()) {
  if (shared_address(to) % 1024 != 0) emulator::fail("a box is not aligned to 1024 bytes at " + site.text());
  {
    const emulator::Bookkeeping own;
    if (!detail::barrier_at(&landed, site).published)
      emulator::fail("a copy knows nothing of its barrier at " + site.text());
  }
  emulator::start([to, map, row, col, &landed, site] {
    char* const shared = static_cast<char*>(to) - shared_address(to);
    for (int r = 0; r < map.box_rows; r++)
      for (int c = 0; c < box_width; c++) {
        const bool inside = row + r >= 0 && row + r < map.height && col + c >= 0 && col + c < map.width;
        const std::uint16_t element = inside ? map.elements[(row + r) * map.width + col + c] : std::uint16_t{0};
        const auto at = static_cast<std::uint32_t>(r * box_row_bytes + c * 2);
        std::memcpy(shared + swizzled_box(shared_address(to) + at), &element, 2);
      }
    detail::land_bytes(landed, map.box_rows * box_row_bytes, site);
  });
}

namespace detail {

// The 16-bit number at an offset of rows and bytes from a descriptor's start, as the hardware reads it.
inline std::uint16_t described_number(std::uint64_t descriptor, std::uint32_t rows, std::uint32_t bytes) {
  const auto start = static_cast<std::uint32_t>(descriptor & 0x3fffu) << 4,
             eight_rows = static_cast<std::uint32_t>(descriptor >> 32 & 0x3fffu) << 4;
  if (descriptor >> 62 != 1 || (descriptor >> 49 & 7) != 0 || start % 1024 >= box_row_bytes)
    emulator::fail("a descriptor of something else than a swizzled box");
  const std::uint32_t at = swizzled_box(start + rows / 8 * eight_rows + rows % 8 * box_row_bytes + bytes);
  const char* shared;
  {
    const emulator::Bookkeeping own;
    if (at + 2 > emulator::block->shared_bytes) emulator::fail("a product reads outside shared memory");
    shared = emulator::block->shared;
  }
  std::uint16_t number;
  std::memcpy(&number, shared + at, 2);
  return number;
}

// Number k of a row of a factor.
inline std::uint16_t number_of_row(std::uint64_t descriptor, int row, int k) {
  return described_number(descriptor, static_cast<std::uint32_t>(row), static_cast<std::uint32_t>(k) * 2);
}

// Number `col` of row k, for rows that are the depth of the product: 64 numbers are adjacent.
inline std::uint16_t number_of_column(std::uint64_t descriptor, int col, int k) {
  const auto next_numbers = static_cast<std::uint32_t>(descriptor >> 16 & 0x3fffu) << 4;
  return described_number(
      descriptor, static_cast<std::uint32_t>(k),
      static_cast<std::uint32_t>(col / 64) * next_numbers + static_cast<std::uint32_t>(col % 64) * 2);
}

// The fragments of a warp's 16 rows have the layout of a product of one warp. Registers are not shared between threads.
inline std::uint16_t number_of_fragment(const emulator::Product& product, int row, int k) {
  const emulator::Bookkeeping own;
  const int thread = row / 16 * 32 + row % 8 * 4 + k % 8 / 2, word = row / 8 % 2 + k / 8 * 2;
  return static_cast<std::uint16_t>(product.fragments[static_cast<std::size_t>(thread)][word] >> (k % 2 * 16));
}

inline double widen_factor(std::uint16_t bits, bool bfloat) {
  return bfloat ? std::bit_cast<float>(std::uint32_t{bits} << 16) : widen_half(bits);
}

// Sums are stored where no thread reads them before it has waited.
inline void run_product(const emulator::Product& product) {
  double a[64][16], b[128][16];
  const bool fragments = product.from_registers;
  for (int k = 0; k < 16; k++) {
    for (int row = 0; row < 64; row++)
      a[row][k] = widen_factor(fragments ? number_of_fragment(product, row, k) : number_of_row(product.a, row, k),
                               product.bfloat);
    for (int col = 0; col < 128; col++)
      b[col][k] = widen_factor(fragments ? number_of_column(product.b, col, k) : number_of_row(product.b, col, k),
                               product.bfloat);
  }
  const emulator::Bookkeeping own;
  for (int t = 0; t < 128; t++)
    for (int i = 0; i < 64; i++) {
      const double *const row = a[t / 32 * 16 + t % 32 / 4 + i / 2 % 2 * 8], *const col =
                                                                                 b[i / 4 * 8 + t % 4 * 2 + i % 2];
      float& value = product.sums[static_cast<std::size_t>(t)][i];
      double sum = product.add ? value : 0;
      for (int k = 0; k < 16; k++) sum += row[k] * col[k];
      value = toward_zero(sum);
    }
}

// A warpgroup's groups of products end in order, whichever one was chosen to run.
inline void run_oldest_group(emulator::Warpgroup& group) {
  emulator::ProductGroup oldest;
  {
    const emulator::Bookkeeping own;
    oldest = std::move(group.committed.front());
    group.committed.pop_front();
    emulator::acquire(oldest.issued);
  }
  for (const emulator::Product& product : oldest.products) run_product(product);
  const emulator::Bookkeeping own;
  group.ended++;
  emulator::release(group.token);
  for (emulator::Thread* thread : group.draining) emulator::wake(*thread);
  group.draining.clear();
}

// The registers that products add to hold NaN until the thread has waited; registers with a factor are read when the
// product is computed.
inline void multiply(const char* operation, float (&d)[64], const emulator::Product& product,
                     const std::uint32_t* fragment, Site site) {
  emulator::warpgroup_operation(
      operation, site,
      [&](emulator::Warpgroup& group, emulator::Thread& thread) {
        if (!thread.fenced) emulator::fail("a product without a fence at " + site.text());
        if (group.waiting.empty())
          group.next = product;
        else if (group.next.a != product.a || group.next.b != product.b || group.next.add != product.add)
          emulator::fail("a warpgroup differs in what it multiplies at " + site.text());
        auto& sums = thread.sums[d];
        if (sums.empty()) {
          sums.assign(d, d + 64);
          for (float& value : d) value = NAN;
        }
        group.next.fragments[thread.number % 128] = fragment;
        group.next.sums[thread.number % 128] = sums.data();
      },
      [](emulator::Warpgroup& group) { group.open.push_back(group.next); });
}

}  // namespace detail

inline void fence_products(Site site = emulator::here()) {
  emulator::warpgroup_operation(
      "wgmma.fence", site, [](emulator::Warpgroup&, emulator::Thread& thread) { thread.fenced = true; },
      [](emulator::Warpgroup&) {});
}
inline void commit_products(Site site = emulator::here()) {
  emulator::warpgroup_operation(
      "wgmma.commit_group", site, [](emulator::Warpgroup&, emulator::Thread& thread) { thread.committed++; },
      [](emulator::Warpgroup& group) {
        if (group.token == nullptr) group.token = emulator::new_token();
        group.committed.push_back({emulator::new_token(), std::move(group.open)});
        emulator::release(group.committed.back().issued);
        group.open.clear();
        emulator::start([&group] { detail::run_oldest_group(group); });
      });
}
template <int Groups, int Count>
void wait_for_products(float (&)[Count], Site site = emulator::here()) {
  const emulator::Bookkeeping own;
  emulator::Thread& thread = emulator::self();
  emulator::Warpgroup& group = emulator::block->warpgroups[thread.number / 128];
  while (thread.committed > group.ended + Groups) {
    group.draining.push_back(&thread);
    emulator::wait_here(site);
  }
  if (group.token != nullptr) emulator::acquire(group.token);
  if (Groups > 0) return;
  for (auto& [registers, sums] : thread.sums) std::memcpy(registers, sums.data(), sums.size() * sizeof(float));
  thread.sums.clear();
  thread.fenced = false;
}

inline void multiply_boxes_bfloat(float (&d)[64], std::uint64_t a, std::uint64_t b, bool add,
                                  Site site = emulator::here()) {
  detail::multiply("wgmma.bf16", d, {a, b, add, true, false, {}, {}}, nullptr, site);
}
inline void multiply_boxes_half(float (&d)[64], std::uint64_t a, std::uint64_t b, bool add,
                                Site site = emulator::here()) {
  detail::multiply("wgmma.f16", d, {a, b, add, false, false, {}, {}}, nullptr, site);
}
inline void multiply_fragment_bfloat(float (&d)[64], const std::uint32_t (&a)[4], std::uint64_t b, bool add,
                                     Site site = emulator::here()) {
  detail::multiply("wgmma.bf16 of registers", d, {0, b, add, true, true, {}, {}}, a, site);
}
inline void multiply_fragment_half(float (&d)[64], const std::uint32_t (&a)[4], std::uint64_t b, bool add,
                                   Site site = emulator::here()) {
  detail::multiply("wgmma.f16 of registers", d, {0, b, add, false, true, {}, {}}, a, site);
}

template <int Count>
void release_registers() {
  static_assert(Count >= 24 && Count <= 256 && Count % 8 == 0);
}
template <int Count>
void take_registers() {
  static_assert(Count >= 24 && Count <= 256 && Count % 8 == 0);
}

}  // namespace gramless::cuda
