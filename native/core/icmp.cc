#include "icmp.h"

#include <algorithm>
#include <cstring>

#include "checksum.h"

namespace flannel0 {

namespace {

constexpr uint8_t kTypeUnreachable = 3;
constexpr uint8_t kCodeNetUnreachable = 0;
// What flannel's proxy sends; kept so that captures look alike.
constexpr uint8_t kAnswerTtl = 8;
constexpr uint32_t kIcmpHeader = 8;
constexpr uint32_t kQuotedPayload = 8;

bool isIcmpError(uint8_t type) { return type == 3 || type == 4 || type == 5 || type == 11 || type == 12; }

}  // namespace

bool owesIcmpError(const Ipv4& offender) {
  if (offender.fragmentOffset() != 0) return false;
  if (offender.protocol() == kProtocolIcmp) {
    const uint32_t headerLength = offender.headerLength();
    if (offender.totalLength() <= headerLength || isIcmpError(offender.bytes[headerLength])) return false;
  }
  const uint8_t sourceTop = offender.source()[0];
  if (sourceTop == 0 || sourceTop == 127 || sourceTop >= 224) return false;
  const uint8_t* destination = offender.destination();
  const bool multicast = destination[0] >= 224 && destination[0] < 240;
  const bool broadcast = std::all_of(destination, destination + 4, [](uint8_t octet) { return octet == 255; });
  return !multicast && !broadcast;
}

uint32_t buildNetUnreachable(const Ipv4& offender, const uint8_t* deviceAddress, AnswerBuffer& out) {
  const uint32_t headerLength = offender.headerLength();
  const uint32_t quoted = std::min(offender.totalLength(), headerLength + kQuotedPayload);
  const uint32_t total = kIpv4MinHeader + kIcmpHeader + quoted;
  std::memset(out.data(), 0, kIpv4MinHeader + kIcmpHeader);
  Ipv4 outer{out.data()};
  outer.bytes[0] = 0x45;
  outer.store16(2, total);
  outer.bytes[8] = kAnswerTtl;
  outer.bytes[9] = kProtocolIcmp;
  std::memcpy(outer.bytes + 12, deviceAddress, 4);
  std::memcpy(outer.bytes + 16, offender.source(), 4);
  const uint16_t headerSum = internetChecksum(outer.bytes, kIpv4MinHeader);
  std::memcpy(outer.bytes + 10, &headerSum, 2);

  uint8_t* icmp = outer.bytes + kIpv4MinHeader;
  icmp[0] = kTypeUnreachable;
  icmp[1] = kCodeNetUnreachable;
  std::memcpy(icmp + kIcmpHeader, offender.bytes, quoted);
  const uint16_t icmpSum = internetChecksum(icmp, kIcmpHeader + quoted);
  std::memcpy(icmp + 2, &icmpSum, 2);
  return total;
}

}  // namespace flannel0
