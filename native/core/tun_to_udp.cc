#include "tun_to_udp.h"

namespace flannel0 {

Evaluated tunToUdp(uint8_t* data, uint32_t length, const Tables& tables, const uint8_t* deviceAddress,
                   AnswerBuffer& answer) {
  if (const DropReason malformed = checkIpv4(data, length); malformed != DropReason::none) {
    return Evaluated::dropped(malformed);
  }
  Ipv4 packet{data};
  if (packet.ttl() == 0) return Evaluated::dropped(DropReason::ttlZero);
  const NextHop* hop = tables.route(packet.destination());
  if (hop == nullptr) {
    if (!owesIcmpError(packet)) return Evaluated::dropped(DropReason::noRoute);
    const uint32_t answerLength = buildNetUnreachable(packet, deviceAddress, answer);
    return {Verdict::answer, DropReason::none, answer.data(), answerLength, nullptr};
  }
  if (packet.ttl() == 1) return Evaluated::dropped(DropReason::ttlExpired);
  packet.decrementTtl();
  return {Verdict::forward, DropReason::none, data, packet.totalLength(), hop};
}

}  // namespace flannel0
