// IPv4 header fields over raw bytes (RFC 791). Accessors do not check bounds: validate with `checkIpv4` first.
#pragma once

#include <cstdint>
#include <cstring>

#include "drop_reason.h"

namespace flannel0 {

inline constexpr uint32_t kIpv4MinHeader = 20;
inline constexpr uint8_t kProtocolIcmp = 1;

struct Ipv4 {
  uint8_t* bytes;

  uint32_t version() const { return bytes[0] >> 4; }
  uint32_t headerLength() const { return (bytes[0] & 0x0fu) * 4u; }
  uint32_t totalLength() const { return load16(2); }
  uint32_t fragmentOffset() const { return (load16(6) & 0x1fffu) * 8u; }
  // Any fragment: the first one, a later one, the last one.
  bool isFragment() const { return (load16(6) & 0x3fffu) != 0; }
  bool dontFragment() const { return (load16(6) & 0x4000u) != 0; }
  uint8_t ttl() const { return bytes[8]; }
  uint8_t protocol() const { return bytes[9]; }
  const uint8_t* source() const { return bytes + 12; }
  const uint8_t* destination() const { return bytes + 16; }

  // RFC 1624, equation 3, for a TTL that goes down by one: HC' = ~(~HC + ~m + m').
  void decrementTtl() {
    const uint32_t before = load16(8);
    bytes[8] = static_cast<uint8_t>(bytes[8] - 1);
    uint32_t sum = (~load16(10) & 0xffffu) + (~before & 0xffffu) + load16(8);
    sum = (sum & 0xffffu) + (sum >> 16);
    sum = (sum & 0xffffu) + (sum >> 16);
    store16(10, ~sum);
  }

  uint32_t load16(uint32_t offset) const {
    return static_cast<uint32_t>(bytes[offset]) << 8 | static_cast<uint32_t>(bytes[offset + 1]);
  }
  void store16(uint32_t offset, uint32_t value) {
    bytes[offset] = static_cast<uint8_t>(value >> 8);
    bytes[offset + 1] = static_cast<uint8_t>(value);
  }
};

// Structural checks that both directions share, in this order. On success (`none`) the header lies within `length` and
// `totalLength()` is at most `length`: bytes beyond it are no part of the packet.
inline DropReason checkIpv4(uint8_t* data, uint32_t length) {
  if (length == 0) return DropReason::truncated;
  const Ipv4 header{data};
  if (header.version() == 6) return DropReason::ipv6Unsupported;
  if (length < kIpv4MinHeader) return DropReason::truncated;
  if (header.version() != 4) return DropReason::badVersion;
  if (header.headerLength() < kIpv4MinHeader || header.headerLength() > length) return DropReason::badHeaderLength;
  if (header.totalLength() < header.headerLength() || header.totalLength() > length) return DropReason::badTotalLength;
  return DropReason::none;
}

}  // namespace flannel0
