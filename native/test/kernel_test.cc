// The kernel as the oracle. A namespace forwards from TUN "in", with all offloads, to TUN "out", without any, so the
// kernel has to segment and to sum in software what is written to "in":
//
//   super-packet --> [in] --> ip_forward (TTL - 1) --> tcp_gso_segment / __udp_gso_segment --> [out] --> packets
//        |                                                                                                 =
//        +----------> Segmenter / completeChecksum ----------------------------------------------------> packets
//   packets --> Coalescer --> super-packets --> [in] --> ... --> [out] --> the same packets
#include <poll.h>

#include "../core/coalesce.h"
#include "../core/segment.h"
#include "../core/tun.h"
#include "check.h"
#include "generate.h"
#include "netns.h"

namespace flannel0 {
namespace {

using test::Bytes;
using test::Fields;
using test::Random;

// More than any generated packet has segments, so that the device's queue never overflows.
constexpr int kQueuePackets = 2048;
constexpr uint32_t kMaxSegments = 1000;

Fd openTun(const char* name, const char* address, TunOffloads wanted, TunOffloads& granted) {
  TunQueueOptions options{name, true, false, wanted};
  const char* failed = "";
  Fd tun(openTunQueue(options, failed));
  CHECK(tun.isOpen());
  granted = options.offloads;
  test::Interface device(name);
  device.setMtu(65535);
  device.setQueueLength(kQueuePackets);
  device.setAddress(address);
  device.setUp();
  return tun;
}

struct Router {
  TunOffloads granted;
  Fd in;
  Fd out;

  Router() {
    test::writeSysctl("ipv6/conf/default/disable_ipv6", "1");  // no packets of its own
    test::writeSysctl("ipv4/ip_forward", "1");
    test::writeSysctl("ipv4/conf/all/rp_filter", "0");
    test::writeSysctl("ipv4/conf/default/rp_filter", "0");
    TunOffloads none;
    in = openTun("in", "10.77.1.1", {true, true, true, true}, granted);
    out = openTun("out", "10.77.2.1", {}, none);
  }

  // Writes one packet; returns what comes out, at least `expected` packets.
  std::vector<Bytes> forward(const iovec* pieces, int count, size_t expected) {
    const ssize_t written = writev(in.get(), pieces, count);
    CHECK(written > 0);
    std::vector<Bytes> packets;
    while (packets.size() < expected || wait(0)) {
      // The deadline only turns a defect into a failure.
      CHECK(wait(packets.size() < expected ? 20000 : 0));
      Bytes packet(65536);
      const ssize_t got = read(out.get(), packet.data(), packet.size());
      CHECK(got > 0);
      packet.resize(static_cast<size_t>(got));
      packets.push_back(std::move(packet));
    }
    return packets;
  }
  std::vector<Bytes> forward(VnetHeader vnet, Bytes packet, size_t expected) {
    const iovec pieces[2] = {{&vnet, kVnetHeaderBytes}, {packet.data(), packet.size()}};
    return forward(pieces, 2, expected);
  }

 private:
  bool wait(int timeoutMs) {
    pollfd waiting{out.get(), POLLIN, 0};
    return poll(&waiting, 1, timeoutMs) == 1;
  }
};

// Addresses behind the two devices.
void route(Fields& fields) {
  fields.source = 0x0a4d0102 + fields.source % 64;
  fields.destination = 0x0a4d0202 + fields.destination % 64;
}

VnetHeader vnetOf(const Fields& fields) {
  return {VnetHeader::kNeedsChecksum,
          VnetHeader::kGsoNone,
          static_cast<uint16_t>(fields.headerLength()),
          0,
          static_cast<uint16_t>(fields.transportOffset()),
          static_cast<uint16_t>(fields.isTcp ? 16 : 6)};
}

std::vector<Bytes> segmentsOf(Bytes super, const VnetHeader& vnet) {
  Ipv4{super.data()}.decrementTtl();
  Segmenter segmenter;
  CHECK(segmenter.begin(super.data(), static_cast<uint32_t>(super.size()), vnet) == DropReason::none);
  std::vector<Bytes> segments;
  uint8_t header[kMaxSegmentHeader];
  PacketPieces piece;
  while (segmenter.next(header, piece)) {
    Bytes packet(piece.header, piece.header + piece.headerLength);
    packet.insert(packet.end(), piece.payload, piece.payload + piece.payloadLength);
    segments.push_back(std::move(packet));
  }
  return segments;
}

void segmentsEqualTheKernels() {
  Router router;
  Random random(20);
  CHECK(router.granted.tcp);
  for (int round = 0; round < test::rounds(400); round++) {
    Fields super = test::anyHeaders(random);
    route(super);
    if (!super.isTcp && !router.granted.udp) continue;
    const uint32_t gsoSize = random.among<uint32_t>({random.between(8, 100), 536, 1380, 1448, random.between(8, 9000)});
    // The kernel takes at most UDP_MAX_SEGMENTS, and nothing for a super-packet that fits one.
    const uint32_t most = std::min(65535 - super.headerLength(), gsoSize * (super.isTcp ? kMaxSegments : 64));
    super.payload = test::anyBytes(random, random.oneIn(8) ? most : random.between(gsoSize + 1, std::min(most, 30 * gsoSize)));
    VnetHeader vnet = vnetOf(super);
    vnet.gsoType = super.isTcp ? VnetHeader::kGsoTcp4 : VnetHeader::kGsoUdpL4;
    if (super.isTcp && (super.flags & test::kCwr) != 0) vnet.gsoType |= 0x80;
    vnet.gsoSize = static_cast<uint16_t>(gsoSize);
    const Bytes packet = test::encodePartial(super);
    const std::vector<Bytes> ours = segmentsOf(packet, vnet);
    CHECK(router.forward(vnet, packet, ours.size()) == ours);
  }
}

void completedChecksumsEqualTheKernels() {
  Router router;
  Random random(21);
  for (int round = 0; round < test::rounds(400); round++) {
    Fields fields = test::anyHeaders(random);
    route(fields);
    fields.payload = test::anyBytes(random, random.between(2, 1500));
    if (random.oneIn(4)) {
      // The packet's checksum will be zero: what it would have been goes into the payload. Forwarding leaves it so.
      test::put16(fields.payload, 0, 0);
      test::put16(fields.payload, 0, test::get16(test::encode(fields), test::checksumAt(fields)));
    }
    const VnetHeader vnet = vnetOf(fields);
    const Bytes packet = test::encodePartial(fields);
    Bytes ours = packet;
    Ipv4{ours.data()}.decrementTtl();
    CHECK(completeChecksum(ours.data(), static_cast<uint32_t>(ours.size()), vnet) == DropReason::none);
    CHECK(router.forward(vnet, packet, 1) == std::vector<Bytes>{ours});
  }
}

// What the coalescer joins, the kernel takes, and cuts into the same packets.
void theKernelUndoesCoalescing() {
  Router router;
  Random random(22);
  uint64_t joined = 0;
  for (int round = 0; round < test::rounds(300); round++) {
    Fields fields = test::anyHeaders(random);
    route(fields);
    if (fields.isTcp) fields.flags = test::kAck;
    const uint32_t count = random.between(2, kMaxJoined);
    const uint32_t segmentBytes = random.between(1, std::min(1448u, (65535 - fields.headerLength()) / count));
    std::vector<Bytes> sent;
    Coalescer coalescer(router.granted.tcp, router.granted.udp);
    std::vector<Bytes> received;
    for (uint32_t i = 0; i < count; i++) {
      fields.payload = test::anyBytes(random, i + 1 == count ? random.between(1, segmentBytes) : segmentBytes);
      if (fields.isTcp && i + 1 == count && random.oneIn(2)) fields.flags |= test::kPsh;
      received.push_back(test::encode(fields));
      Bytes onward = received.back();
      Ipv4{onward.data()}.decrementTtl();
      sent.push_back(std::move(onward));
      fields.sequence += static_cast<uint32_t>(fields.payload.size());
      fields.id++;
    }
    for (Bytes& packet : received) coalescer.add(packet.data(), static_cast<uint32_t>(packet.size()));
    coalescer.finish();
    std::vector<Bytes> got;
    for (uint32_t i = 0; i < coalescer.itemCount(); i++) {
      TunItem& item = coalescer.item(i);
      joined += item.packets - 1;
      const auto out = router.forward(item.pieces.data(), static_cast<int>(item.packets) + 1, item.packets);
      got.insert(got.end(), out.begin(), out.end());
    }
    CHECK(got == sent);
  }
  CHECK(joined > 1000);
}

TEST(segmentsEqualTheKernelsByteForByte) { test::inNamespace(__func__, segmentsEqualTheKernels); }
TEST(checksumsEqualTheKernelsByteForByte) { test::inNamespace(__func__, completedChecksumsEqualTheKernels); }
TEST(theKernelCutsWhatWasCoalescedIntoTheSame) { test::inNamespace(__func__, theKernelUndoesCoalescing); }

}  // namespace
}  // namespace flannel0
