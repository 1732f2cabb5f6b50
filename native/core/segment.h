// Segmentation offload in software: cuts a TCP or UDP super-packet that the kernel handed over whole into the packets
// that the kernel itself would have sent (its tcp_gso_segment, __udp_gso_segment and inet_gso_segment).
#pragma once

#include <cstdint>

#include "ipv4.h"
#include "vnet_header.h"

namespace flannel0 {

// Headers of one segment at most: IPv4 with options (60) and TCP with options (60).
inline constexpr uint32_t kMaxSegmentHeader = 120;

// One packet to send, in two pieces that follow each other.
struct PacketPieces {
  const uint8_t* header;
  uint32_t headerLength;
  const uint8_t* payload;  // within the super-packet
  uint32_t payloadLength;

  uint32_t length() const { return headerLength + payloadLength; }
};

// Completes the checksum that the kernel left partial (VnetHeader::kNeedsChecksum) in a packet that is no
// super-packet. `packet` has passed `checkIpv4`; `length` is its total length. Returns `badOffload` where the header's
// offsets do not lie within the packet, behind its IP header.
DropReason completeChecksum(uint8_t* packet, uint32_t length, const VnetHeader& vnet);

// Iterates over the segments of one super-packet, which must stay untouched meanwhile.
class Segmenter {
 public:
  // `packet` has passed `checkIpv4`; `length` is its total length. Returns `none`, or `badOffload` where `vnet` does
  // not describe the packet (sizes, offsets, types).
  DropReason begin(const uint8_t* packet, uint32_t length, const VnetHeader& vnet);

  uint32_t segmentCount() const { return count_; }
  uint32_t headerLength() const { return headerLength_; }

  // Writes the headers of the next segment to `header` (kMaxSegmentHeader bytes); false when there is none left.
  bool next(uint8_t* header, PacketPieces& segment);

 private:
  void patchTcp(uint8_t* tcp, bool isFirst, bool isLast) const;

  const uint8_t* packet_ = nullptr;
  uint32_t length_ = 0;
  uint32_t transportOffset_ = 0;
  uint32_t headerLength_ = 0;
  uint32_t segmentBytes_ = 0;
  uint32_t count_ = 0;
  uint32_t index_ = 0;
  bool isTcp_ = false;
  bool checksumOff_ = false;  // UDP without a checksum stays so
};

}  // namespace flannel0
