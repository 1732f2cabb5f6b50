// Why a packet was dropped: one closed list. The order is part of the interface: src/encap/verdict.ts holds the same
// names with their meaning and remedy, and a test compares the two.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace flannel0 {

#define FLANNEL0_DROP_REASONS(X) \
  X(none)                        \
  X(truncated)                   \
  X(badVersion)                  \
  X(badHeaderLength)             \
  X(badTotalLength)              \
  X(badHeaderChecksum)           \
  X(ttlZero)                     \
  X(ttlExpired)                  \
  X(noRoute)                     \
  X(martianSource)               \
  X(ipv6Unsupported)             \
  X(sendBufferFull)              \
  X(sendMessageSize)             \
  X(sendFailed)                  \
  X(tunWriteFailed)              \
  X(tunQueueFull)                \
  X(oversize)                    \
  X(badOffload)

enum class DropReason : uint8_t {
#define X(name) name,
  FLANNEL0_DROP_REASONS(X)
#undef X
};

inline constexpr std::array kDropReasonNames = {
#define X(name) #name,
    FLANNEL0_DROP_REASONS(X)
#undef X
};

inline constexpr size_t kDropReasonCount = kDropReasonNames.size();

}  // namespace flannel0
