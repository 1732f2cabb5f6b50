// Packets for tests.
#pragma once

#include <cstdint>
#include <cstring>
#include <vector>

#include "../core/checksum.h"
#include "../core/ipv4.h"

namespace flannel0::test {

using Packet = std::vector<uint8_t>;

// An IPv4 packet without options and with a valid header checksum; addresses in host order.
inline Packet makePacket(uint32_t source, uint32_t destination, uint8_t ttl, uint8_t protocol, size_t payloadBytes) {
  Packet packet(20 + payloadBytes);
  for (size_t i = 20; i < packet.size(); i++) packet[i] = static_cast<uint8_t>(i);
  Ipv4 header{packet.data()};
  packet[0] = 0x45;
  header.store16(2, static_cast<uint32_t>(packet.size()));
  packet[8] = ttl;
  packet[9] = protocol;
  header.store16(12, source >> 16);
  header.store16(14, source);
  header.store16(16, destination >> 16);
  header.store16(18, destination);
  const uint16_t sum = internetChecksum(packet.data(), 20);
  std::memcpy(&packet[10], &sum, 2);
  return packet;
}

}  // namespace flannel0::test
