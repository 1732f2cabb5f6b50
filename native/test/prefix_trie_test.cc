#include <atomic>
#include <map>
#include <random>
#include <thread>
#include <vector>

#include "../core/prefix_trie.h"
#include "check.h"

namespace flannel0 {
namespace {

using Random = std::mt19937_64;

struct Bytes {
  uint8_t at[4];
};

Bytes bytesOf(uint32_t value) {
  return {{static_cast<uint8_t>(value >> 24), static_cast<uint8_t>(value >> 16), static_cast<uint8_t>(value >> 8),
           static_cast<uint8_t>(value)}};
}

uint32_t maskOf(uint32_t length) { return length == 0 ? 0 : ~uint32_t{0} << (32 - length); }

// The oracle: every prefix, asked one after the other.
struct LinearTable {
  std::map<std::pair<uint32_t, uint32_t>, const int*> prefixes;  // (length, base)

  const int* lookup(uint32_t address) const {
    const int* best = nullptr;
    for (const auto& [key, value] : prefixes) {
      if ((address & maskOf(key.first)) == key.second) best = value;  // ascending length
    }
    return best;
  }
};

TEST(trieAgreesWithLinearTable) {
  Random random(test::seed());
  const std::vector<int> values(16);
  for (int round = 0; round < 60; round++) {
    EpochDomain domain(1);
    PrefixTrie<int> trie(domain);
    LinearTable oracle;
    // A small universe makes prefixes nest, collide and vanish.
    const uint32_t universe = round % 3 == 0 ? 0xffffffff : 0x0a03ffff;
    for (int step = 0; step < 300; step++) {
      const uint32_t length = static_cast<uint32_t>(random() % 33);
      const uint32_t base = static_cast<uint32_t>(random()) & universe & maskOf(length);
      const int* value = random() % 3 == 0 ? nullptr : &values[random() % values.size()];
      const auto key = std::pair(length, base);
      const int* before = oracle.prefixes.contains(key) ? oracle.prefixes[key] : nullptr;
      CHECK(trie.set(bytesOf(base).at, length, value) == before);
      if (value == nullptr) {
        oracle.prefixes.erase(key);
      } else {
        oracle.prefixes[key] = value;
      }
      if (random() % 4 != 0) continue;
      trie.publish();
      domain.collect();
      for (int probe = 0; probe < 20; probe++) {
        const uint32_t address = static_cast<uint32_t>(random()) & universe;
        CHECK(trie.lookup(bytesOf(address).at) == oracle.lookup(address));
      }
      for (const auto& [prefix, ignored] : oracle.prefixes) {
        const uint32_t last = prefix.second | ~maskOf(prefix.first);
        CHECK(trie.lookup(bytesOf(prefix.second).at) == oracle.lookup(prefix.second));
        CHECK(trie.lookup(bytesOf(last).at) == oracle.lookup(last));
      }
    }
  }
}

TEST(unpublishedChangesAreInvisible) {
  EpochDomain domain(1);
  PrefixTrie<int> trie(domain);
  const int value = 1;
  trie.set(bytesOf(0x0a000000).at, 8, &value);
  CHECK(trie.lookup(bytesOf(0x0a000001).at) == nullptr);
  trie.publish();
  CHECK(trie.lookup(bytesOf(0x0a000001).at) == &value);
}

TEST(garbageIsBoundedAndWaitsForReaders) {
  EpochDomain domain(1);
  PrefixTrie<int> trie(domain);
  const int value = 1;
  domain.enter(0);
  for (uint32_t i = 0; i < 100; i++) {
    trie.set(bytesOf(0x0a000000 + (i << 8)).at, 24, &value);
    trie.publish();
    domain.collect();
  }
  CHECK(domain.retiredCount() > 0);
  domain.leave(0);
  domain.collect();
  CHECK(domain.retiredCount() == 0);
}

TEST(sixteenByteAddresses) {
  EpochDomain domain(1);
  PrefixTrie<int> trie(domain);
  const int wide = 1;
  const int narrow = 2;
  uint8_t address[16] = {0xfd, 0, 0, 0x12};
  trie.set(address, 32, &wide);
  address[15] = 9;
  trie.set(address, 128, &narrow);
  trie.publish();
  CHECK(trie.lookup(address) == &narrow);
  address[15] = 8;
  CHECK(trie.lookup(address) == &wide);
  address[0] = 0xfe;
  CHECK(trie.lookup(address) == nullptr);
}

// Readers look up a prefix that always exists, with one of two values, while the writer churns around it. Under
// ThreadSanitizer and AddressSanitizer this shows races and use after free.
TEST(readersRunWhileTheWriterChurns) {
  constexpr size_t kReaders = 2;
  EpochDomain domain(kReaders);
  PrefixTrie<int> trie(domain);
  const int values[2] = {1, 2};
  const Bytes stable = bytesOf(0x0a050100);
  trie.set(stable.at, 24, &values[0]);
  trie.publish();
  std::atomic<bool> done{false};
  std::atomic<uint64_t> lookups{0};
  std::vector<std::thread> readers;
  for (size_t reader = 0; reader < kReaders; reader++) {
    readers.emplace_back([&, reader] {
      while (!done.load(std::memory_order_relaxed)) {
        const EpochGuard guard(domain, reader);
        const int* found = trie.lookup(bytesOf(0x0a050107).at);
        CHECK(found == &values[0] || found == &values[1]);
        CHECK(*found == 1 || *found == 2);
        lookups.fetch_add(1, std::memory_order_relaxed);
      }
    });
  }
  Random random(test::seed());
  for (uint32_t i = 0; i < 20000 || lookups.load() < 1000; i++) {
    const uint32_t base = 0x0a000000 + static_cast<uint32_t>((random() % 4096) << 8);
    trie.set(bytesOf(base).at, 24, i % 2 == 0 ? &values[0] : nullptr);
    trie.set(stable.at, 24, &values[i % 2]);
    trie.publish();
    domain.collect();
  }
  done = true;
  for (std::thread& reader : readers) reader.join();
  domain.collect();
  CHECK(domain.retiredCount() == 0);
}

}  // namespace
}  // namespace flannel0
