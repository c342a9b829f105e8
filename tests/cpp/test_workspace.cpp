// Memory that one call leaves to the next.
#include "check.hpp"
#include "workspace_limit.hpp"

namespace gramless {
namespace {

TEST(what_was_given_back_is_taken_again) {
  const Limit limit(1 << 20);
  const char* first = nullptr;
  {
    const Workspace workspace(5000);
    first = workspace.data();
    CHECK(first != nullptr);
    CHECK(Workspace(3000).data() != first);
  }
  const Workspace smaller(4000), another(4000);
  CHECK(smaller.data() == first && another.data() != first);
}

TEST(the_larger_one_is_kept) {
  const Limit limit(1 << 20);
  const char* large = nullptr;
  {
    const Workspace of_large(9000);
    large = of_large.data();
    const Workspace of_small(100);  // given back first
  }
  {
    const Workspace of_small(100);
  }  // the large one, given back again
  CHECK(Workspace(9000).data() == large);
}

TEST(nothing_is_taken_beyond_the_limit) {
  const Limit limit(1000);
  CHECK(Workspace(1001).data() == nullptr);
  CHECK(Workspace(1000).data() != nullptr);
  CHECK(Workspace(0).data() == nullptr);
}

TEST(what_is_needed_is_there_beyond_the_limit_and_not_kept) {
  const Limit limit(1000);
  const char* small = nullptr;
  {
    const Workspace of_small(900);
    small = of_small.data();
  }
  {
    CHECK(Workspace(2000, Workspace::BeyondLimit::fresh).data() != nullptr);
  }  // the spare is too small, and freed
  set_workspace_limit(0);
  {
    CHECK(Workspace(2000, Workspace::BeyondLimit::fresh).data() != nullptr);
  }
  CHECK(Workspace(900).data() == nullptr && small != nullptr);
}

TEST(a_workspace_moves) {
  const Limit limit(1000);
  Workspace from(500), to;
  const char* data = from.data();
  to = std::move(from);
  CHECK(to.data() == data);
  const Workspace last(std::move(to));
  CHECK(last.data() == data);
}

}  // namespace
}  // namespace gramless
