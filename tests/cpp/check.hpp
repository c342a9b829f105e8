// A test framework on one page: TEST(a_sentence) { CHECK(claim); }, run by main.cpp. CHECK may be used in any thread.
#pragma once

#include <atomic>
#include <cstdio>
#include <vector>

namespace check {

struct Test {
  const char* name;
  void (*body)();
};

inline std::vector<Test>& tests() {
  static std::vector<Test> all;
  return all;
}

struct Registration {
  Registration(const char* name, void (*body)()) { tests().push_back({name, body}); }
};

inline std::atomic<int> failures{0};

inline void that(bool holds, const char* claim, const char* file, int line) {
  constexpr int most_printed = 20;
  if (!holds && ++failures <= most_printed) std::fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, claim);
}

}  // namespace check

#define TEST(name)                                                   \
  static void name();                                                \
  static const check::Registration registration_##name(#name, name); \
  static void name()
#define CHECK(...) check::that(static_cast<bool>(__VA_ARGS__), #__VA_ARGS__, __FILE__, __LINE__)
