// Work on every row, or on every part of a long row: each is visited once, and nothing past the end.
#include <atomic>
#include <vector>

#include "check.hpp"
#include "ops/dispatch/for_blocks.hpp"
#include "ops/dispatch/visit_rows.hpp"

namespace gramless {
namespace {

constexpr std::int64_t past = 1 << 17;  // more than a block of either

// How often each of `count` places and those past them was visited.
class Visits {
 public:
  explicit Visits(std::int64_t count) : count_(count), seen_(static_cast<std::size_t>(count + past)) {}

  void add(std::int64_t place) {
    CHECK(place >= 0 && place < count_);
    if (place >= 0 && place < count_ + past) seen_[static_cast<std::size_t>(place)]++;
  }
  void check() const {
    for (std::size_t place = 0; place < seen_.size(); place++)
      CHECK(seen_[place] == (place < static_cast<std::size_t>(count_)));
  }

 private:
  std::int64_t count_;
  std::vector<std::atomic<int>> seen_;
};

TEST(every_row_is_visited_once) {
  for (const int threads : {1, 3})
    for (const std::int64_t rows : {0, 1, 255, 256, 257, 1000}) {
      ArrayView x;
      x.rows = rows;
      x.cols = 1 << 20;  // enough work for all threads
      Visits visits(rows);
      for_rows_of(x, {.threads = threads, .monitor = {}}, [&](std::int64_t row) { visits.add(row); });
      visits.check();
    }
}

TEST(every_part_of_a_long_row_is_visited_once) {
  for (const int threads : {1, 3})
    for (const std::int64_t count : {0, 1, 65535, 65536, 65537, 200000}) {
      Visits visits(count);
      for_blocks(count, {.threads = threads, .monitor = {}}, [&](std::int64_t first, std::int64_t end) {
        for (std::int64_t k = first; k < end; k++) visits.add(k);
      });
      visits.check();
    }
}

}  // namespace
}  // namespace gramless
