// The oracle of the offload tests: TCP and UDP packets as fields, written out from scratch with full checksums, and
// segmentation as a few plain sentences over them. Slow, and obvious; shares no code with core/.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <vector>

namespace flannel0::test {

using Bytes = std::vector<uint8_t>;

enum TcpFlag : uint8_t { kFin = 1, kSyn = 2, kRst = 4, kPsh = 8, kAck = 16, kUrg = 32, kEce = 64, kCwr = 128 };

// One unfragmented TCP or UDP packet. Numbers in host order; options as they stand, a multiple of 4 bytes.
struct Fields {
  uint8_t tos = 0;
  uint16_t id = 0;
  bool reservedFlag = false;
  bool dontFragment = false;
  uint8_t ttl = 64;
  uint32_t source = 0;
  uint32_t destination = 0;
  Bytes ipOptions;
  bool isTcp = true;
  uint16_t sourcePort = 0;
  uint16_t destinationPort = 0;
  uint32_t sequence = 0;
  uint32_t ack = 0;
  uint8_t reserved = 0;  // the four bits behind the TCP header's length
  uint8_t flags = kAck;
  uint16_t window = 0;
  uint16_t urgent = 0;
  Bytes tcpOptions;
  bool udpChecksum = true;
  Bytes payload;

  uint32_t transportOffset() const { return static_cast<uint32_t>(20 + ipOptions.size()); }
  uint32_t headerLength() const {
    return transportOffset() + (isTcp ? static_cast<uint32_t>(20 + tcpOptions.size()) : 8);
  }
  bool operator==(const Fields&) const = default;
};

inline uint32_t get16(const Bytes& bytes, size_t at) { return bytes.at(at) * 256u + bytes.at(at + 1); }
inline uint32_t get32(const Bytes& bytes, size_t at) { return get16(bytes, at) * 65536u + get16(bytes, at + 2); }
inline void put16(Bytes& bytes, size_t at, uint32_t value) {
  bytes.at(at) = static_cast<uint8_t>(value / 256);
  bytes.at(at + 1) = static_cast<uint8_t>(value);
}
inline void put32(Bytes& bytes, size_t at, uint32_t value) {
  put16(bytes, at, value / 65536 % 65536);
  put16(bytes, at + 2, value % 65536);
}

// RFC 1071, word for word: the sum of big-endian 16-bit words, carries added back.
inline uint32_t referenceSum(const Bytes& bytes) {
  uint32_t sum = 0;
  for (size_t i = 0; i < bytes.size(); i++) {
    sum += i % 2 == 0 ? bytes[i] * 256u : bytes[i];
    if (sum > 0xffff) sum = sum - 0x10000 + 1;
  }
  return sum;
}

// The pseudo-header in front of the transport part of `packet` (RFC 9293 3.1, RFC 768).
inline Bytes pseudoHeader(const Bytes& packet, size_t transportLength) {
  Bytes bytes(packet.begin() + 12, packet.begin() + 20);
  bytes.insert(bytes.end(), {0, packet.at(9), 0, 0});
  put16(bytes, 10, static_cast<uint32_t>(transportLength));
  return bytes;
}

inline void sealIpHeader(Bytes& packet) {
  put16(packet, 10, 0);
  const size_t length = (packet.at(0) % 16u) * 4u;
  put16(packet, 10, ~referenceSum(Bytes(packet.begin(), packet.begin() + static_cast<long>(length))));
}

inline uint32_t transportSum(const Bytes& packet, size_t offset) {
  Bytes all = pseudoHeader(packet, packet.size() - offset);
  all.insert(all.end(), packet.begin() + static_cast<long>(offset), packet.end());
  return referenceSum(all);
}

// The packet with everything but its checksums (zero).
inline Bytes encodeUnsealed(const Fields& fields) {
  Bytes packet(fields.headerLength());
  const size_t transport = fields.transportOffset();
  packet[0] = static_cast<uint8_t>(0x40 + transport / 4);
  packet[1] = fields.tos;
  put16(packet, 2, static_cast<uint32_t>(packet.size() + fields.payload.size()));
  put16(packet, 4, fields.id);
  put16(packet, 6, (fields.reservedFlag ? 0x8000u : 0u) + (fields.dontFragment ? 0x4000u : 0u));
  packet[8] = fields.ttl;
  packet[9] = fields.isTcp ? 6 : 17;
  put32(packet, 12, fields.source);
  put32(packet, 16, fields.destination);
  std::copy(fields.ipOptions.begin(), fields.ipOptions.end(), packet.begin() + 20);
  put16(packet, transport, fields.sourcePort);
  put16(packet, transport + 2, fields.destinationPort);
  if (fields.isTcp) {
    put32(packet, transport + 4, fields.sequence);
    put32(packet, transport + 8, fields.ack);
    packet[transport + 12] = static_cast<uint8_t>((20 + fields.tcpOptions.size()) / 4 * 16 + fields.reserved);
    packet[transport + 13] = fields.flags;
    put16(packet, transport + 14, fields.window);
    put16(packet, transport + 18, fields.urgent);
    std::copy(fields.tcpOptions.begin(), fields.tcpOptions.end(), packet.begin() + static_cast<long>(transport) + 20);
  } else {
    put16(packet, transport + 4, static_cast<uint32_t>(8 + fields.payload.size()));
  }
  packet.insert(packet.end(), fields.payload.begin(), fields.payload.end());
  return packet;
}

inline size_t checksumAt(const Fields& fields) { return fields.transportOffset() + (fields.isTcp ? 16 : 6); }

// The packet as it stands on a wire.
inline Bytes encode(const Fields& fields) {
  Bytes packet = encodeUnsealed(fields);
  sealIpHeader(packet);
  if (!fields.isTcp && !fields.udpChecksum) return packet;
  uint32_t checksum = 0xffff - transportSum(packet, fields.transportOffset());
  if (!fields.isTcp && checksum == 0) checksum = 0xffff;
  put16(packet, checksumAt(fields), checksum);
  return packet;
}

// The packet as the kernel hands it over with VIRTIO_NET_HDR_F_NEEDS_CSUM: the sum of the pseudo-header in place of the
// transport checksum.
inline Bytes encodePartial(const Fields& fields) {
  Bytes packet = encodeUnsealed(fields);
  sealIpHeader(packet);
  put16(packet, checksumAt(fields), referenceSum(pseudoHeader(packet, packet.size() - fields.transportOffset())));
  return packet;
}

// The fields of a packet that `encode` could have made, whatever its checksums; nothing for all others.
inline std::optional<Fields> decode(const Bytes& packet) {
  if (packet.size() < 20 || packet[0] / 16 != 4) return {};
  const size_t transport = packet[0] % 16u * 4u;
  if (transport < 20 || transport > packet.size() || get16(packet, 2) != packet.size()) return {};
  if ((get16(packet, 6) & 0x3fff) != 0 || (packet[9] != 6 && packet[9] != 17)) return {};
  Fields fields;
  fields.isTcp = packet[9] == 6;
  size_t payload = transport + 8;
  if (fields.isTcp) {
    if (transport + 20 > packet.size() || packet[transport + 12] / 16 < 5) return {};
    payload = transport + packet[transport + 12] / 16 * 4u;
  }
  if (payload > packet.size()) return {};
  fields.tos = packet[1];
  fields.id = static_cast<uint16_t>(get16(packet, 4));
  fields.reservedFlag = packet[6] / 128 == 1;
  fields.dontFragment = packet[6] / 64 % 2 == 1;
  fields.ttl = packet[8];
  fields.source = get32(packet, 12);
  fields.destination = get32(packet, 16);
  const auto at = [&](size_t offset) { return packet.begin() + static_cast<long>(offset); };
  fields.ipOptions.assign(at(20), at(transport));
  fields.sourcePort = static_cast<uint16_t>(get16(packet, transport));
  fields.destinationPort = static_cast<uint16_t>(get16(packet, transport + 2));
  if (fields.isTcp) {
    fields.sequence = get32(packet, transport + 4);
    fields.ack = get32(packet, transport + 8);
    fields.reserved = packet[transport + 12] % 16;
    fields.flags = packet[transport + 13];
    fields.window = static_cast<uint16_t>(get16(packet, transport + 14));
    fields.urgent = static_cast<uint16_t>(get16(packet, transport + 18));
    fields.tcpOptions.assign(at(transport + 20), at(payload));
  } else {
    if (get16(packet, transport + 4) != packet.size() - transport) return {};
    fields.udpChecksum = get16(packet, transport + 6) != 0;
  }
  fields.payload.assign(at(payload), packet.end());
  return fields;
}

// What the kernel sends for a super-packet: payload in pieces of `gsoSize`, consecutive IP ids, advancing sequence
// numbers, CWR on the first, FIN and PSH on the last, everything else on all of them.
inline std::vector<Bytes> referenceSegments(const Fields& super, size_t gsoSize) {
  std::vector<Bytes> segments;
  for (size_t offset = 0; offset < super.payload.size(); offset += gsoSize) {
    const size_t end = std::min(offset + gsoSize, super.payload.size());
    Fields segment = super;
    segment.payload.assign(super.payload.begin() + static_cast<long>(offset),
                           super.payload.begin() + static_cast<long>(end));
    segment.id = static_cast<uint16_t>(super.id + segments.size());
    segment.sequence = super.sequence + static_cast<uint32_t>(offset);
    uint32_t flags = super.flags;
    if (offset > 0) flags &= ~uint32_t{kCwr};
    if (end < super.payload.size()) flags &= ~uint32_t{kFin | kPsh};
    segment.flags = static_cast<uint8_t>(flags);
    segments.push_back(encode(segment));
  }
  return segments;
}

}  // namespace flannel0::test
