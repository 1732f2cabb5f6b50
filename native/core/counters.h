// Packet counters: one block per worker and direction, written by that worker alone, read by anyone at any time.
//
// Every packet that enters is accounted for: received = forwarded + answered + the sum of all drops.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "drop_reason.h"

namespace flannel0 {

enum class Direction : size_t { tunToUdp = 0, udpToTun = 1 };
inline constexpr size_t kDirections = 2;

enum class Counter : size_t {
  received,
  receivedBytes,
  forwarded,
  forwardedBytes,
  answered,
  answeredBytes,
  peerErrors,  // ICMP errors that the network sent about our datagrams; no packets of this direction
};
inline constexpr size_t kPlainCounters = 7;
// `none` is no drop and has no counter.
inline constexpr size_t kCountersPerDirection = kPlainCounters + kDropReasonCount - 1;

// Names in the order of the block: the plain counters, then `drop.REASON`.
inline std::vector<std::string> counterNames() {
  std::vector<std::string> names = {"received", "receivedBytes", "forwarded", "forwardedBytes",
                                    "answered", "answeredBytes", "peerErrors"};
  for (size_t reason = 1; reason < kDropReasonCount; reason++) {
    names.push_back(std::string("drop.") + kDropReasonNames[reason]);
  }
  return names;
}

class DirectionCounters {
 public:
  void add(Counter counter, uint64_t amount) { bump(static_cast<size_t>(counter), amount); }
  void drop(DropReason reason, uint64_t packets = 1) {
    bump(kPlainCounters + static_cast<size_t>(reason) - 1, packets);
  }

 private:
  // A plain read-modify-write: there is one writer, and a reader sees either value.
  void bump(size_t index, uint64_t amount) {
    values_[index].store(values_[index].load(std::memory_order_relaxed) + amount, std::memory_order_relaxed);
  }
  std::atomic<uint64_t> values_[kCountersPerDirection] = {};
};

// JavaScript reads the counters of all workers through one BigUint64Array over this memory.
static_assert(sizeof(DirectionCounters) == kCountersPerDirection * sizeof(uint64_t));
static_assert(std::atomic<uint64_t>::is_always_lock_free);

}  // namespace flannel0
