// Runs every test linked in, or those whose name contains the first argument, or after "-" those whose name does not. A
// second argument "k/n" takes every n-th of them from the k-th on, for n processes at once; "-x" stops at the first
// that fails.
#include <chrono>
#include <cstring>
#include <exception>

#include "check.hpp"

namespace {

void run(const check::Test& test) {
  const auto started = std::chrono::steady_clock::now();
  const int before = check::failures;
  try {
    test.body();
  } catch (const std::exception& error) {
    check::failures++;
    std::fprintf(stderr, "%s: unexpected exception: %s\n", test.name, error.what());
  }
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - started;
  std::printf("%-6s %6.2f s  %s\n", check::failures == before ? "ok" : "FAILED", seconds.count(), test.name);
  std::fflush(stdout);
}

bool wanted(const check::Test& test, const char* word) {
  if (word[0] == '-') return std::strstr(test.name, word + 1) == nullptr;
  return std::strstr(test.name, word) != nullptr;
}

}  // namespace

int main(int count, char** arguments) {
  int ran = 0, seen = 0, part = 0, parts = 1;
  const bool stop_at_failure = count > 2 && std::strcmp(arguments[2], "-x") == 0;
  if (count > 2 && !stop_at_failure &&
      (std::sscanf(arguments[2], "%d/%d", &part, &parts) != 2 || part < 0 || part >= parts)) {
    std::fprintf(stderr, "not k/n with k < n: %s\n", arguments[2]);
    return 2;
  }
  for (const check::Test& test : check::tests()) {
    if (count > 1 && !wanted(test, arguments[1])) continue;
    if (seen++ % parts != part) continue;
    run(test);
    ran++;
    if (stop_at_failure && check::failures > 0) break;
  }
  std::printf("%d tests, %d claims that do not hold\n", ran, check::failures.load());
  return ran == 0 || check::failures > 0;
}
