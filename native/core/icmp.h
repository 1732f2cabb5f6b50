// ICMP answers of the forwarder (RFC 792), in the form that flannel's own proxy gives them.
#pragma once

#include <array>
#include <cstdint>

#include "ipv4.h"

namespace flannel0 {

// 20 (IPv4) + 8 (ICMP) + quoted header (60 at most) + 8 quoted payload bytes.
inline constexpr uint32_t kMaxIcmpAnswer = 20 + 8 + 60 + 8;

using AnswerBuffer = std::array<uint8_t, kMaxIcmpAnswer>;

// Whether an ICMP error may be sent about this packet (RFC 1122 3.2.2, RFC 1812 4.3.2.7). `offender` has passed
// `checkIpv4`.
bool owesIcmpError(const Ipv4& offender);

// Writes "destination unreachable, network unreachable" (type 3, code 0) about `offender` into `out`, from
// `deviceAddress` (4 bytes). Quotes real bytes only. Returns the length of the answer.
uint32_t buildNetUnreachable(const Ipv4& offender, const uint8_t* deviceAddress, AnswerBuffer& out);

}  // namespace flannel0
