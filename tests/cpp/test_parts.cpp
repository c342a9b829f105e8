// Parts of a walk: they cover its tasks once, in order, and end at the given part.
#include "support/parts.hpp"

#include "check.hpp"

namespace gramless {
namespace {

TEST(parts_cover_the_tasks_and_know_where_they_end) {
  for (const std::int64_t tasks : {1, 2, 3, 7, 64, 65, 255, 1000})
    for (const std::int64_t count : {1, 2, 3, 5, 64, 256}) {
      const Parts parts{count, 0, count};
      CHECK(parts.begin(0, tasks) == 0);
      CHECK(parts.begin(count, tasks) == tasks);
      std::int64_t part = 0;
      for (std::int64_t task = 0; task < tasks; task++) {
        while (parts.begin(part + 1, tasks) <= task) part++;  // over empty parts too
        CHECK(parts.begin(part, tasks) <= task);
        CHECK(parts.end_with(task, tasks) == (parts.begin(part + 1, tasks) == task + 1));
      }
    }
}

TEST(parts_of_many_tasks_are_alike) {
  const std::int64_t tasks = std::int64_t{1} << 45;
  const Parts parts{256, 0, 256};
  for (std::int64_t part = 0; part < 256; part++)
    CHECK(parts.begin(part + 1, tasks) - parts.begin(part, tasks) == tasks / 256);
}

}  // namespace
}  // namespace gramless
