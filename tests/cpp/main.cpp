// Runs every test linked in, or those whose name contains the first argument.
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

}  // namespace

int main(int count, char** arguments) {
  int ran = 0;
  for (const check::Test& test : check::tests()) {
    if (count > 1 && std::strstr(test.name, arguments[1]) == nullptr) continue;
    run(test);
    ran++;
  }
  std::printf("%d tests, %d claims that do not hold\n", ran, check::failures.load());
  return ran == 0 || check::failures > 0;
}
