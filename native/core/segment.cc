#include "segment.h"

#include <algorithm>
#include <cstring>

#include "checksum.h"
#include "transport.h"

namespace flannel0 {

DropReason completeChecksum(uint8_t* packet, uint32_t length, const VnetHeader& vnet) {
  const uint32_t start = vnet.checksumStart;
  const uint32_t field = start + vnet.checksumOffset;
  // The IP header was checked already and must not change.
  if (start < Ipv4{packet}.headerLength() || start >= length || field + 2 > length) return DropReason::badOffload;
  // The field holds the pseudo-header's sum, which takes part as it stands.
  uint16_t sum = internetChecksum(packet + start, length - start);
  // UDP writes a zero as all ones (RFC 768), and the kernel (skb_checksum_help) does it for every protocol.
  if (sum == 0) sum = 0xffff;
  std::memcpy(packet + field, &sum, 2);
  return DropReason::none;
}

DropReason Segmenter::begin(const uint8_t* packet, uint32_t length, const VnetHeader& vnet) {
  Ipv4 ip{const_cast<uint8_t*>(packet)};
  const uint8_t kind = vnet.gsoKind();
  isTcp_ = kind == VnetHeader::kGsoTcp4;
  if (!isTcp_ && kind != VnetHeader::kGsoUdpL4) return DropReason::badOffload;
  if (ip.protocol() != (isTcp_ ? kProtocolTcp : kProtocolUdp) || ip.isFragment()) return DropReason::badOffload;
  packet_ = packet;
  length_ = length;
  transportOffset_ = ip.headerLength();
  const uint32_t transportLength = transportHeaderLength(packet, length, transportOffset_, isTcp_);
  if (transportLength == 0 || vnet.gsoSize == 0) return DropReason::badOffload;
  headerLength_ = transportOffset_ + transportLength;
  if (headerLength_ >= length) return DropReason::badOffload;
  segmentBytes_ = vnet.gsoSize;
  if (headerLength_ + segmentBytes_ > 65535) return DropReason::badOffload;
  count_ = (length - headerLength_ + segmentBytes_ - 1) / segmentBytes_;
  index_ = 0;
  checksumOff_ = !isTcp_ && !vnet.needsChecksum() &&
                 load16(packet + transportOffset_ + kUdpChecksumOffset) == 0;
  return DropReason::none;
}

bool Segmenter::next(uint8_t* header, PacketPieces& segment) {
  if (index_ == count_) return false;
  const uint32_t offset = index_ * segmentBytes_;
  const uint32_t payloadLength = std::min(segmentBytes_, length_ - headerLength_ - offset);
  segment = {header, headerLength_, packet_ + headerLength_ + offset, payloadLength};
  std::memcpy(header, packet_, headerLength_);

  Ipv4 ip{header};
  ip.store16(2, headerLength_ + payloadLength);
  ip.store16(4, ip.load16(4) + index_);
  ip.store16(10, 0);
  const uint16_t headerSum = internetChecksum(header, transportOffset_);
  std::memcpy(header + 10, &headerSum, 2);

  uint8_t* transport = header + transportOffset_;
  const uint32_t transportLength = headerLength_ - transportOffset_ + payloadLength;
  const uint32_t checksumOffset = isTcp_ ? kTcpChecksumOffset : kUdpChecksumOffset;
  if (isTcp_) {
    store32(transport + 4, load32(transport + 4) + offset);
    patchTcp(transport, index_ == 0, index_ + 1 == count_);
  } else {
    store16(transport + 4, transportLength);
  }
  std::memset(transport + checksumOffset, 0, 2);
  if (!checksumOff_) {
    // The header length is even (both headers are multiples of 4), so the payload's sum needs no swap.
    const uint64_t sum = uint64_t{pseudoHeaderSum(header, transportLength)} +
                         onesComplementSum(transport, headerLength_ - transportOffset_);
    auto checksum = static_cast<uint16_t>(~onesComplementSum(segment.payload, payloadLength, sum));
    if (!isTcp_ && checksum == 0) checksum = 0xffff;
    std::memcpy(transport + checksumOffset, &checksum, 2);
  }
  index_++;
  return true;
}

// CWR belongs to the first segment only (RFC 3168 6.1.2), FIN and PSH to the last.
void Segmenter::patchTcp(uint8_t* tcp, bool isFirst, bool isLast) const {
  uint8_t flags = tcp[kTcpFlagsOffset];
  if (!isFirst) flags = static_cast<uint8_t>(flags & ~kTcpCwr);
  if (!isLast) flags = static_cast<uint8_t>(flags & ~(kTcpFin | kTcpPsh));
  tcp[kTcpFlagsOffset] = flags;
}

}  // namespace flannel0
