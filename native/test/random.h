// Randomness for property tests: seeded, and therefore repeatable (check.h).
#pragma once

#include <cstdlib>
#include <initializer_list>
#include <random>

#include "check.h"

namespace flannel0::test {

// How many times as many rounds as usual; `npm run test:sanitize` asks for more.
inline int rounds(int usual) {
  const char* text = std::getenv("FLANNEL0_ROUNDS");
  const int factor = text == nullptr ? 1 : std::atoi(text);
  return usual * (factor > 0 ? factor : 1);
}

class Random {
 public:
  explicit Random(uint64_t stream) : engine_(seed() ^ (stream * 0x9e3779b97f4a7c15u)) {}

  // 0 .. bound - 1
  uint32_t below(uint32_t bound) { return static_cast<uint32_t>(engine_() % bound); }
  uint32_t between(uint32_t first, uint32_t last) { return first + below(last - first + 1); }
  bool oneIn(uint32_t n) { return below(n) == 0; }
  uint32_t word() { return static_cast<uint32_t>(engine_()); }
  uint16_t half() { return static_cast<uint16_t>(engine_()); }
  uint8_t byte() { return static_cast<uint8_t>(engine_()); }
  template <typename T>
  T among(std::initializer_list<T> values) {
    return values.begin()[below(static_cast<uint32_t>(values.size()))];
  }

 private:
  std::mt19937_64 engine_;
};

}  // namespace flannel0::test
