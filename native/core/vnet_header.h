// The virtio_net_hdr that stands before each packet of a TUN queue with IFF_VNET_HDR (virtio 1.2, 5.1.6;
// Documentation/networking/tuntap.rst), in its 10-byte form and host byte order. (linux/virtio_net.h is no C++.)
#pragma once

#include <cstdint>

namespace flannel0 {

struct VnetHeader {
  uint8_t flags;
  uint8_t gsoType;
  uint16_t headerLength;    // a hint that may lie: headers are measured, not believed
  uint16_t gsoSize;         // payload bytes of each segment but the last
  uint16_t checksumStart;
  uint16_t checksumOffset;  // from checksumStart

  // gsoType without the ECN bit, which says that CWR may be set on the first segment.
  uint8_t gsoKind() const { return static_cast<uint8_t>(gsoType & ~0x80); }
  bool needsChecksum() const { return (flags & kNeedsChecksum) != 0; }

  static constexpr uint8_t kNeedsChecksum = 1;
  static constexpr uint8_t kGsoNone = 0;
  static constexpr uint8_t kGsoTcp4 = 1;
  static constexpr uint8_t kGsoUdpL4 = 5;
};

inline constexpr uint32_t kVnetHeaderBytes = sizeof(VnetHeader);
static_assert(kVnetHeaderBytes == 10);

}  // namespace flannel0
