#include "udp_to_tun.h"

#include "checksum.h"
#include "ipv4.h"

namespace flannel0 {

Evaluated udpToTun(uint8_t* data, uint32_t length, const Tables& tables) {
  if (const DropReason malformed = checkIpv4(data, length); malformed != DropReason::none) {
    return Evaluated::dropped(malformed);
  }
  Ipv4 packet{data};
  if (!checksumHolds(data, packet.headerLength())) return Evaluated::dropped(DropReason::badHeaderChecksum);
  if (packet.ttl() == 0) return Evaluated::dropped(DropReason::ttlZero);
  // The device has accept_local=1 so that our own ICMP answers get through; what a peer must not gain by it is caught
  // here, where the kernel would have caught it.
  if (tables.isLocal(packet.source())) return Evaluated::dropped(DropReason::martianSource);
  if (packet.ttl() == 1) return Evaluated::dropped(DropReason::ttlExpired);
  packet.decrementTtl();
  return {Verdict::forward, DropReason::none, data, packet.totalLength(), nullptr};
}

}  // namespace flannel0
