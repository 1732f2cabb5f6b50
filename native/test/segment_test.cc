// Segmentation against the oracle (reference.h), byte for byte; the same against the kernel: kernel_test.cc.
#include "../core/segment.h"

#include <cstring>
#include <memory>

#include "check.h"
#include "generate.h"

namespace flannel0 {
namespace {

using test::Bytes;
using test::Fields;
using test::Random;

VnetHeader vnetOf(const Fields& fields, uint32_t gsoSize) {
  VnetHeader vnet{};
  vnet.flags = VnetHeader::kNeedsChecksum;
  vnet.gsoType = fields.isTcp ? VnetHeader::kGsoTcp4 : VnetHeader::kGsoUdpL4;
  if (fields.isTcp && (fields.flags & test::kCwr) != 0) vnet.gsoType |= 0x80;
  vnet.headerLength = static_cast<uint16_t>(fields.headerLength());
  vnet.gsoSize = static_cast<uint16_t>(gsoSize);
  vnet.checksumStart = static_cast<uint16_t>(fields.transportOffset());
  vnet.checksumOffset = fields.isTcp ? 16 : 6;
  return vnet;
}

// Memory that is as long as the packet, so that AddressSanitizer sees one byte too many.
std::unique_ptr<uint8_t[]> exactly(const Bytes& bytes) {
  auto copy = std::make_unique<uint8_t[]>(bytes.size());
  std::copy(bytes.begin(), bytes.end(), copy.get());
  return copy;
}

std::vector<Bytes> segmentsOf(Segmenter& segmenter) {
  std::vector<Bytes> segments;
  uint8_t header[kMaxSegmentHeader];
  PacketPieces piece;
  while (segmenter.next(header, piece)) {
    CHECK(piece.header == header && piece.headerLength <= kMaxSegmentHeader);
    Bytes packet(piece.header, piece.header + piece.headerLength);
    packet.insert(packet.end(), piece.payload, piece.payload + piece.payloadLength);
    CHECK(packet.size() == piece.length());
    segments.push_back(std::move(packet));
  }
  return segments;
}

TEST(segmentsEqualTheOracleByteForByte) {
  Random random(1);
  for (int round = 0; round < test::rounds(1500); round++) {
    Fields super = test::anyHeaders(random);
    const uint32_t room = 65535 - super.headerLength();
    const uint32_t gsoSize = random.among<uint32_t>({random.between(1, 100), 536, 1380, 1448, random.between(1, 9000)});
    const uint32_t length = std::min(room, random.oneIn(8) ? room : random.between(1, 40 * gsoSize));
    super.payload = test::anyBytes(random, length);
    const Bytes packet = test::encodePartial(super);
    const auto memory = exactly(packet);
    Segmenter segmenter;
    CHECK(segmenter.begin(memory.get(), static_cast<uint32_t>(packet.size()), vnetOf(super, gsoSize)) ==
          DropReason::none);
    const auto expected = test::referenceSegments(super, gsoSize);
    CHECK(segmenter.segmentCount() == expected.size());
    CHECK(segmenter.headerLength() == super.headerLength());
    CHECK(segmentsOf(segmenter) == expected);
    CHECK(std::memcmp(memory.get(), packet.data(), packet.size()) == 0);
  }
}

// GRO leaves UDP checksums that were off alone, and hands such a packet over without NEEDS_CSUM.
TEST(udpWithoutAChecksumStaysWithoutOne) {
  Random random(2);
  Fields super = test::anyHeaders(random);
  super.isTcp = false;
  super.udpChecksum = false;
  super.payload = test::anyBytes(random, 5000);
  const Bytes packet = test::encode(super);
  VnetHeader vnet = vnetOf(super, 1200);
  vnet.flags = 0;
  Segmenter segmenter;
  CHECK(segmenter.begin(packet.data(), static_cast<uint32_t>(packet.size()), vnet) == DropReason::none);
  CHECK(segmentsOf(segmenter) == test::referenceSegments(super, 1200));
}

TEST(aChecksumThatWasCompleteIsMadeAnew) {
  Random random(3);
  for (int round = 0; round < test::rounds(100); round++) {
    Fields super = test::anyHeaders(random);
    super.payload = test::anyBytes(random, random.between(1, 9000));
    const Bytes packet = test::encode(super);
    VnetHeader vnet = vnetOf(super, 1000);
    vnet.flags = 0;
    Segmenter segmenter;
    CHECK(segmenter.begin(packet.data(), static_cast<uint32_t>(packet.size()), vnet) == DropReason::none);
    CHECK(segmentsOf(segmenter) == test::referenceSegments(super, 1000));
  }
}

TEST(refusesWhatIsNoSuperPacket) {
  Random random(4);
  Fields tcp = test::anyHeaders(random);
  tcp.isTcp = true;
  tcp.payload = test::anyBytes(random, 3000);
  const auto begin = [](const Bytes& packet, const VnetHeader& vnet) {
    const auto memory = exactly(packet);
    return Segmenter{}.begin(memory.get(), static_cast<uint32_t>(packet.size()), vnet);
  };
  const Bytes packet = test::encodePartial(tcp);
  const VnetHeader good = vnetOf(tcp, 1000);
  CHECK(begin(packet, good) == DropReason::none);
  for (int type = 0; type < 256; type++) {
    VnetHeader vnet = good;
    vnet.gsoType = static_cast<uint8_t>(type);
    CHECK((begin(packet, vnet) == DropReason::none) == ((type & 0x7f) == VnetHeader::kGsoTcp4));
  }
  VnetHeader vnet = good;
  vnet.gsoSize = 0;
  CHECK(begin(packet, vnet) == DropReason::badOffload);
  vnet.gsoSize = 0xffff;  // no packet could be that long
  CHECK(begin(packet, vnet) == DropReason::badOffload);
  for (const uint32_t flags : {0x2000u, 0x0001u, 0x3fffu}) {
    Bytes fragment = packet;
    test::put16(fragment, 6, flags);
    CHECK(begin(fragment, good) == DropReason::badOffload);
  }
  // Header lengths beyond the data, and below the least.
  for (uint32_t doff = 0; doff < 16; doff++) {
    Fields shorter = tcp;
    shorter.payload.assign(3, 0);
    shorter.tcpOptions.clear();
    Bytes lying = test::encodePartial(shorter);
    lying[tcp.transportOffset() + 12] = static_cast<uint8_t>(doff << 4);
    CHECK((begin(lying, good) == DropReason::none) == (doff == 5));
  }
  // Cut anywhere up to the first byte of payload.
  for (uint32_t length = tcp.transportOffset(); length <= tcp.headerLength(); length++) {
    Bytes cut(packet.begin(), packet.begin() + length);
    test::put16(cut, 2, length);
    CHECK(begin(cut, good) == DropReason::badOffload);
  }
}

// Whatever the header claims: within bounds, every byte of payload once, no packet longer than IP allows.
TEST(aVnetHeaderThatLiesIsHarmless) {
  Random random(5);
  for (int round = 0; round < test::rounds(20000); round++) {
    Fields fields = test::anyHeaders(random);
    fields.payload = test::anyBytes(random, random.below(200));
    Bytes packet = test::encodePartial(fields);
    for (uint32_t i = random.below(4); i > 0; i--) packet[random.below(static_cast<uint32_t>(packet.size()))] = random.byte();
    const auto memory = exactly(packet);
    const auto size = static_cast<uint32_t>(packet.size());
    if (checkIpv4(memory.get(), size) != DropReason::none) continue;
    const uint32_t length = Ipv4{memory.get()}.totalLength();
    VnetHeader vnet = vnetOf(fields, random.oneIn(2) ? random.half() : random.below(64));
    if (random.oneIn(2)) vnet.flags = random.byte();
    if (random.oneIn(4)) vnet.gsoType = random.byte();
    if (random.oneIn(2)) vnet.headerLength = random.half();
    if (random.oneIn(2)) vnet.checksumStart = random.oneIn(2) ? random.half() : static_cast<uint16_t>(random.below(64));
    if (random.oneIn(2)) vnet.checksumOffset = random.half();
    Segmenter segmenter;
    if (segmenter.begin(memory.get(), length, vnet) == DropReason::none) {
      size_t payload = 0;
      for (const Bytes& segment : segmentsOf(segmenter)) {
        CHECK(test::get16(segment, 2) == segment.size());
        payload += segment.size() - segmenter.headerLength();
      }
      CHECK(payload == length - segmenter.headerLength());
    }
    const Bytes before(memory.get(), memory.get() + size);
    const DropReason reason = completeChecksum(memory.get(), length, vnet);
    const uint32_t field = uint32_t{vnet.checksumStart} + vnet.checksumOffset;
    for (uint32_t i = 0; i < size; i++) {
      const bool mayChange = reason == DropReason::none && (i == field || i == field + 1);
      CHECK(mayChange || memory[i] == before[i]);
    }
    // The IP header was checked before; a lie must not change it afterwards.
    if (reason == DropReason::none) CHECK(field >= Ipv4{memory.get()}.headerLength());
  }
}

TEST(completedChecksumsEqualTheOracle) {
  Random random(6);
  for (int round = 0; round < test::rounds(3000); round++) {
    Fields fields = test::anyHeaders(random);
    fields.payload = test::anyBytes(random, random.below(1500));
    if (random.oneIn(4) && fields.payload.size() >= 2) {
      // Makes the checksum zero: its complement goes into the payload.
      test::put16(fields.payload, 0, 0);
      const Bytes sealed = test::encode(fields);
      const uint32_t checksum = test::get16(sealed, test::checksumAt(fields));
      test::put16(fields.payload, 0, checksum);
    }
    Bytes packet = test::encodePartial(fields);
    const auto memory = exactly(packet);
    CHECK(completeChecksum(memory.get(), static_cast<uint32_t>(packet.size()), vnetOf(fields, 0)) == DropReason::none);
    Bytes expected = test::encode(fields);
    // The kernel's skb_checksum_help writes a zero as all ones for every protocol; it means the same (RFC 1071).
    const size_t at = test::checksumAt(fields);
    if (test::get16(expected, at) == 0) test::put16(expected, at, 0xffff);
    CHECK(std::equal(expected.begin(), expected.end(), memory.get()));
  }
}

}  // namespace
}  // namespace flannel0
