#include "coalesce.h"

#include <cstring>

#include "checksum.h"
#include "transport.h"

namespace flannel0 {

namespace {

// An item stays below the longest IPv4 packet.
constexpr uint32_t kMaxItemLength = 65535;

bool sameBytes(const uint8_t* a, const uint8_t* b, uint32_t length) { return std::memcmp(a, b, length) == 0; }

bool transportChecksumHolds(const uint8_t* packet, uint32_t length, uint32_t transportOffset) {
  const uint32_t transportLength = length - transportOffset;
  const uint64_t pseudo = pseudoHeaderSum(packet, transportLength);
  return onesComplementSum(packet + transportOffset, transportLength, pseudo) == 0xffff;
}

// IP headers may differ in total length, id and checksum only.
bool sameIpHeader(const uint8_t* a, const uint8_t* b) {
  const uint32_t headerLength = Ipv4{const_cast<uint8_t*>(a)}.headerLength();
  return sameBytes(a, b, 2) && sameBytes(a + 6, b + 6, 4) && sameBytes(a + 12, b + 12, headerLength - 12);
}

// TCP headers may differ in sequence number, PSH and checksum only: equal ports, ack, header length, flags, window,
// urgent pointer and options. (GRO lets the window differ; then the later window would be lost.)
bool sameTcpHeader(const uint8_t* a, const uint8_t* b, uint32_t headerLength) {
  return sameBytes(a, b, 4) && sameBytes(a + 8, b + 8, 5) && sameBytes(a + 14, b + 14, 2) &&
         sameBytes(a + 18, b + 18, headerLength - 18);
}

}  // namespace

Coalescer::Coalescer(bool tcp, bool udp) : tcp_(tcp), udp_(udp), items_(std::make_unique<TunItem[]>(kMaxItems)) {}

void Coalescer::clear() {
  count_ = 0;
  closeAll();
}

// No slot of an earlier generation counts any more; when the number starts over, none is left that could.
void Coalescer::closeAll() {
  if (++generation_ != 0) return;
  slots_ = {};
  generation_ = 1;
}

// Whether a packet could be the start or the continuation of an item: whole TCP segments with payload and nothing but
// ACK (and PSH) set; whole UDP datagrams with payload and a checksum.
bool Coalescer::isCandidate(uint8_t* data, uint32_t length, Candidate& candidate) const {
  const Ipv4 ip{data};
  const bool isTcp = ip.protocol() == kProtocolTcp;
  if (isTcp ? !tcp_ : !udp_ || ip.protocol() != kProtocolUdp) return false;
  const uint32_t offset = ip.headerLength();
  const uint32_t transportLength = transportHeaderLength(data, length, offset, isTcp);
  if (transportLength == 0 || offset + transportLength >= length) return false;
  const uint8_t* transport = data + offset;
  if (isTcp) {
    if ((transport[kTcpFlagsOffset] & ~kTcpPsh) != kTcpAck) return false;
  } else if (load16(transport + 4) != length - offset || load16(transport + kUdpChecksumOffset) == 0) {
    return false;
  }
  candidate = {data, length, offset + transportLength, length - offset - transportLength, isTcp};
  return true;
}

void Coalescer::add(uint8_t* data, uint32_t length) {
  const Ipv4 ip{data};
  if (ip.isFragment()) {
    // It has no ports (or hides what follows): it may belong to any flow between its hosts.
    closeAll();
    pushItem(data, length);
    return;
  }
  const uint32_t offset = ip.headerLength();
  if ((ip.protocol() != kProtocolTcp && ip.protocol() != kProtocolUdp) || offset + 4 > length) {
    pushItem(data, length);
    return;
  }
  Slot& slot = slots_[flowHash(data, data + offset) % kSlots];
  TunItem* current = slot.generation == generation_ ? &items_[slot.item] : nullptr;
  Candidate candidate{};
  const bool joinable = isCandidate(data, length, candidate);
  if (joinable && current != nullptr && canAppend(*current, candidate)) {
    append(*current, candidate);
    return;
  }
  TunItem& item = pushItem(data, length);
  // Whatever flow the slot stood for is closed: its later packets start anew, behind this one.
  slot = {joinable ? generation_ : 0, count_ - 1};
  if (joinable) open(item, candidate);
}

TunItem& Coalescer::pushItem(uint8_t* data, uint32_t length) {
  TunItem& item = items_[count_++];
  item.vnet = {};
  item.packet = data;
  item.headerLength = 0;
  item.length = length;
  item.packets = 1;
  item.isClosed = true;
  item.pieces[1] = {data, length};
  return item;
}

void Coalescer::open(TunItem& item, const Candidate& candidate) {
  item.headerLength = candidate.headerLength;
  item.segmentBytes = candidate.payloadLength;
  item.isTcp = candidate.isTcp;
  const Ipv4 ip{candidate.data};
  item.lastId = static_cast<uint16_t>(ip.load16(4));
  item.fixedId = false;
  const uint8_t* tcp = candidate.data + ip.headerLength();
  item.isClosed = candidate.isTcp && (tcp[kTcpFlagsOffset] & kTcpPsh) != 0;
  if (candidate.isTcp) item.nextSequence = load32(tcp + 4) + candidate.payloadLength;
}

bool Coalescer::canAppend(const TunItem& item, const Candidate& candidate) const {
  if (item.isClosed || item.isTcp != candidate.isTcp || item.headerLength != candidate.headerLength) return false;
  if (candidate.payloadLength > item.segmentBytes || item.packets == kMaxJoined ||
      item.length + candidate.payloadLength > kMaxItemLength) {
    return false;
  }
  const uint8_t* first = item.packet;
  const uint8_t* data = candidate.data;
  if (!sameIpHeader(first, data)) return false;
  const Ipv4 ip{candidate.data};
  const auto id = static_cast<uint16_t>(ip.load16(4));
  const bool isNext = id == static_cast<uint16_t>(item.lastId + 1);
  const bool isSame = id == item.lastId && ip.dontFragment();
  if (item.packets == 1 ? !isNext && !isSame : item.fixedId ? !isSame : !isNext) return false;

  const uint32_t offset = ip.headerLength();
  if (item.isTcp) {
    if (load32(data + offset + 4) != item.nextSequence) return false;
    if (!sameTcpHeader(first + offset, data + offset, candidate.headerLength - offset)) return false;
  } else if (!sameBytes(first + offset, data + offset, 4)) {
    return false;
  }
  // A super-packet's checksum counts as right: joining a broken packet would bless it. The first packet's is checked
  // when the second comes.
  if (item.packets == 1 && !transportChecksumHolds(first, item.length, offset)) return false;
  return transportChecksumHolds(data, candidate.length, offset);
}

void Coalescer::append(TunItem& item, const Candidate& candidate) {
  const Ipv4 ip{candidate.data};
  if (item.packets == 1) item.fixedId = static_cast<uint16_t>(ip.load16(4)) == item.lastId;
  item.packets++;
  item.pieces[item.packets] = {candidate.data + candidate.headerLength, candidate.payloadLength};
  item.length += candidate.payloadLength;
  item.lastId = static_cast<uint16_t>(ip.load16(4));
  item.isClosed = candidate.payloadLength < item.segmentBytes;
  if (!item.isTcp) return;
  item.nextSequence += candidate.payloadLength;
  const uint8_t flags = candidate.data[ip.headerLength() + kTcpFlagsOffset];
  if ((flags & kTcpPsh) == 0) return;
  // PSH ends the super-packet and shows on its header.
  item.packet[ip.headerLength() + kTcpFlagsOffset] |= kTcpPsh;
  item.isClosed = true;
}

void Coalescer::finish() {
  for (uint32_t i = 0; i < count_; i++) {
    TunItem& item = items_[i];
    item.pieces[0] = {&item.vnet, kVnetHeaderBytes};
    if (item.packets > 1) finishItem(item);
  }
}

void Coalescer::finishItem(TunItem& item) {
  Ipv4 ip{item.packet};
  const uint32_t offset = ip.headerLength();
  const uint32_t transportLength = item.length - offset;
  ip.store16(2, item.length);
  ip.store16(10, 0);
  const uint16_t headerSum = internetChecksum(item.packet, offset);
  std::memcpy(item.packet + 10, &headerSum, 2);
  const uint32_t checksumOffset = item.isTcp ? kTcpChecksumOffset : kUdpChecksumOffset;
  if (!item.isTcp) store16(item.packet + offset + 4, transportLength);
  const uint16_t pseudo = pseudoHeaderSum(item.packet, transportLength);
  std::memcpy(item.packet + offset + checksumOffset, &pseudo, 2);
  item.vnet.flags = VnetHeader::kNeedsChecksum;
  item.vnet.gsoType = item.isTcp ? VnetHeader::kGsoTcp4 : VnetHeader::kGsoUdpL4;
  item.vnet.headerLength = static_cast<uint16_t>(item.headerLength);
  item.vnet.gsoSize = static_cast<uint16_t>(item.segmentBytes);
  item.vnet.checksumStart = static_cast<uint16_t>(offset);
  item.vnet.checksumOffset = static_cast<uint16_t>(checksumOffset);
}

}  // namespace flannel0
