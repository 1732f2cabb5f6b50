// TCP and UDP header fields over raw bytes (RFC 9293, RFC 768).
#pragma once

#include <cstdint>
#include <cstring>

#include "checksum.h"

namespace flannel0 {

inline constexpr uint8_t kProtocolTcp = 6;
inline constexpr uint8_t kProtocolUdp = 17;
inline constexpr uint32_t kTcpMinHeader = 20;
inline constexpr uint32_t kUdpHeader = 8;
inline constexpr uint32_t kTcpChecksumOffset = 16;
inline constexpr uint32_t kUdpChecksumOffset = 6;
inline constexpr uint32_t kTcpFlagsOffset = 13;
inline constexpr uint8_t kTcpFin = 0x01;
inline constexpr uint8_t kTcpPsh = 0x08;
inline constexpr uint8_t kTcpAck = 0x10;
inline constexpr uint8_t kTcpCwr = 0x80;

inline uint32_t load16(const uint8_t* bytes) {
  return static_cast<uint32_t>(bytes[0]) << 8 | static_cast<uint32_t>(bytes[1]);
}
inline uint32_t load32(const uint8_t* bytes) { return load16(bytes) << 16 | load16(bytes + 2); }
inline void store16(uint8_t* bytes, uint32_t value) {
  bytes[0] = static_cast<uint8_t>(value >> 8);
  bytes[1] = static_cast<uint8_t>(value);
}
inline void store32(uint8_t* bytes, uint32_t value) {
  store16(bytes, value >> 16);
  store16(bytes + 2, value);
}

// Length of the TCP or UDP header at `offset`, or 0 where it does not lie within `length` or is malformed.
inline uint32_t transportHeaderLength(const uint8_t* packet, uint32_t length, uint32_t offset, bool isTcp) {
  if (!isTcp) return offset + kUdpHeader <= length ? kUdpHeader : 0;
  if (offset + kTcpMinHeader > length) return 0;
  const uint32_t headerLength = static_cast<uint32_t>(packet[offset + 12] >> 4) * 4;
  return headerLength >= kTcpMinHeader && offset + headerLength <= length ? headerLength : 0;
}

// Hash of a flow: addresses, protocol and, where `ports` is given, the two ports it points to.
inline uint32_t flowHash(const uint8_t* ip, const uint8_t* ports) {
  uint64_t addresses;
  uint32_t bothPorts = 0;
  std::memcpy(&addresses, ip + 12, 8);
  if (ports != nullptr) std::memcpy(&bothPorts, ports, 4);
  const uint64_t mixed = (addresses ^ (uint64_t{bothPorts} << 13) ^ ip[9]) * 0x9e3779b97f4a7c15u;
  return static_cast<uint32_t>(mixed >> 40);
}

// Sum of the IPv4 pseudo-header (RFC 9293 3.1) of the packet at `ip`, in the byte order of the data, folded.
inline uint16_t pseudoHeaderSum(const uint8_t* ip, uint32_t transportLength) {
  const uint8_t tail[4] = {0, ip[9], static_cast<uint8_t>(transportLength >> 8), static_cast<uint8_t>(transportLength)};
  return onesComplementSum(tail, 4, onesComplementSum(ip + 12, 8));
}

}  // namespace flannel0
