#include "tun_to_udp_path.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "segment.h"
#include "transport.h"
#include "tun_to_udp.h"
#include "tun_write.h"

namespace flannel0 {

namespace {

// The device was deleted under us (EBADFD, EFAULT), or there never was one.
bool isDeviceGone(int error) { return error == EBADFD || error == EFAULT || error == EBADF; }

}  // namespace

PumpResult TunToUdpPath::pump() {
  PumpResult result;
  const EpochGuard epoch(*io_.domain, io_.reader);
  const uint32_t frontBytes = io_.tun.vnetHeader ? kVnetHeaderBytes : 0;
  turnPackets_ = 0;
  size_t failures = 0;
  for (size_t i = 0; i < kBatchPackets && turnPackets_ < kMaxTurnPackets;) {
    uint8_t* packet = packets_.packet(i);
    const ssize_t got = read(io_.tunFd, packet - frontBytes, kPacketCapacity + frontBytes);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) {
      flush();
      return result;
    }
    if (got < 0) {
      // The kernel threw away a packet that it could not describe (EINVAL) or finish. Nothing but errors is no TUN.
      if (isDeviceGone(errno) || ++failures == kBatchPackets) {
        result.failed = "read tun";
        result.error = errno;
        break;
      }
      received(1, 0);
      drop(DropReason::badOffload, 1);
    } else {
      take(packet, static_cast<uint32_t>(got));
    }
    result.packets++;
    i++;
    if (batch_.bytes() >= kFlushBytes) flush();
  }
  flush();
  result.isDone = result.failed != nullptr;
  return result;
}

// `length` counts from the virtio_net_hdr in the headroom, where there is one.
void TunToUdpPath::take(uint8_t* packet, uint32_t length) {
  VnetHeader vnet{};
  if (io_.tun.vnetHeader) {
    if (length < kVnetHeaderBytes) {
      received(1, 0);
      return drop(DropReason::truncated, 1);
    }
    std::memcpy(&vnet, packet - kVnetHeaderBytes, sizeof vnet);
    length -= kVnetHeaderBytes;
  }
  if (const DropReason malformed = checkIpv4(packet, length); malformed != DropReason::none) {
    received(1, length);
    return drop(malformed, 1);
  }
  if (vnet.gsoKind() == VnetHeader::kGsoNone) {
    takePacket(packet, length, vnet);
  } else {
    takeSuperPacket(packet, Ipv4{packet}.totalLength(), vnet);
  }
}

void TunToUdpPath::takePacket(uint8_t* packet, uint32_t length, const VnetHeader& vnet) {
  received(1, length);
  if (vnet.needsChecksum()) {
    const DropReason reason = completeChecksum(packet, Ipv4{packet}.totalLength(), vnet);
    if (reason != DropReason::none) return drop(reason, 1);
  }
  AnswerBuffer buffer;
  const Evaluated evaluated = tunToUdp(packet, length, *io_.tables, io_.deviceAddress.data(), buffer);
  switch (evaluated.verdict) {
    case Verdict::forward:
      if (batch_.isFull()) flush();
      batch_.add({evaluated.data, evaluated.length, nullptr, 0}, evaluated.nextHop, socketOf(evaluated.data));
      break;
    case Verdict::answer:
      answer(evaluated, 1, evaluated.length);
      break;
    case Verdict::drop:
      drop(evaluated.reason, 1);
      break;
  }
}

void TunToUdpPath::takeSuperPacket(uint8_t* packet, uint32_t length, const VnetHeader& vnet) {
  Segmenter segments;
  if (const DropReason reason = segments.begin(packet, length, vnet); reason != DropReason::none) {
    received(1, length);
    return drop(reason, 1);
  }
  const uint32_t count = segments.segmentCount();
  received(count, length + uint64_t{count - 1} * segments.headerLength());
  AnswerBuffer buffer;
  const Evaluated evaluated = tunToUdp(packet, length, *io_.tables, io_.deviceAddress.data(), buffer);
  switch (evaluated.verdict) {
    case Verdict::forward:
      sendSegments(segments, evaluated.nextHop, socketOf(packet));
      break;
    case Verdict::answer:
      answerAboutFirstSegment(segments, evaluated.length);
      break;
    case Verdict::drop:
      drop(evaluated.reason, count);
      break;
  }
}

void TunToUdpPath::sendSegments(Segmenter& segments, const NextHop* hop, uint32_t socket) {
  for (;;) {
    if (batch_.isFull()) flush();
    PacketPieces segment;
    if (!segments.next(batch_.headerSpace(), segment)) return;
    batch_.add(segment, hop, socket);
  }
}

// All packets of a flow leave by one socket, which keeps their order: chosen by addresses and protocol, and by the ports
// where every packet of the flow shows them.
uint32_t TunToUdpPath::socketOf(const uint8_t* packet) const {
  const auto sockets = static_cast<uint32_t>(io_.udpFds.size());
  if (sockets == 1) return 0;
  const Ipv4 ip{const_cast<uint8_t*>(packet)};
  const uint32_t offset = ip.headerLength();
  const bool hasPorts = (ip.protocol() == kProtocolTcp || ip.protocol() == kProtocolUdp) && !ip.isFragment() &&
                        ip.totalLength() >= offset + 4;
  return flowHash(packet, hasPorts ? packet + offset : nullptr) % sockets;
}

// An answer quotes what a packet on the wire would have had: the headers of the first segment, not the super-packet's.
void TunToUdpPath::answerAboutFirstSegment(Segmenter& segments, uint64_t bytes) {
  constexpr uint32_t kQuotedPayload = 8;
  std::array<uint8_t, kMaxSegmentHeader + kQuotedPayload> first{};
  const uint32_t count = segments.segmentCount();
  PacketPieces segment;
  segments.next(first.data(), segment);
  std::memcpy(first.data() + segment.headerLength, segment.payload, std::min(kQuotedPayload, segment.payloadLength));
  AnswerBuffer buffer;
  const uint32_t length = buildNetUnreachable(Ipv4{first.data()}, io_.deviceAddress.data(), buffer);
  answer({Verdict::answer, DropReason::none, buffer.data(), length, nullptr}, count, bytes);
}

void TunToUdpPath::answer(const Evaluated& evaluated, uint32_t packets, uint64_t bytes) {
  const DropReason reason = writeTunPacket(io_, evaluated.data, evaluated.length);
  if (reason != DropReason::none) return drop(reason, packets);
  counters_.add(Counter::answered, packets);
  counters_.add(Counter::answeredBytes, bytes);
}

void TunToUdpPath::received(uint32_t packets, uint64_t bytes) {
  turnPackets_ += packets;
  counters_.add(Counter::received, packets);
  counters_.add(Counter::receivedBytes, bytes);
}

void TunToUdpPath::drop(DropReason reason, uint32_t packets) { counters_.drop(reason, packets); }

}  // namespace flannel0
