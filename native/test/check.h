// A test runner of a few lines: TEST registers a function, CHECK ends the process with file and line.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

namespace flannel0::test {

struct Case {
  const char* name;
  void (*run)();
};

inline std::vector<Case>& cases() {
  static std::vector<Case> all;
  return all;
}

struct Register {
  Register(const char* name, void (*run)()) { cases().push_back({name, run}); }
};

// The seed of all random tests: FLANNEL0_SEED, or a fixed default; main prints it.
inline uint64_t seed() {
  static const uint64_t value = [] {
    const char* text = std::getenv("FLANNEL0_SEED");
    return text == nullptr ? uint64_t{20221130} : std::strtoull(text, nullptr, 10);
  }();
  return value;
}

#define TEST(name)                                                       \
  static void name();                                                    \
  static const flannel0::test::Register name##Registered(#name, name);   \
  static void name()

#define CHECK(condition)                                                                \
  do {                                                                                  \
    if (!(condition)) {                                                                 \
      std::fprintf(stderr, "%s:%d: CHECK(%s) failed\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                                     \
    }                                                                                   \
  } while (false)

}  // namespace flannel0::test
