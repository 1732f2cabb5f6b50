// From the TUN to the wire: what happens to one IP packet that the kernel routed to the device.
#pragma once

#include "icmp.h"
#include "tables.h"
#include "verdict.h"

namespace flannel0 {

// Evaluates the packet in `data[0, length)`, changing its TTL and checksum in place where it is forwarded. `answer`
// receives the ICMP message of an `answer` verdict. The caller is inside an epoch of `tables`.
// Checks and their order: docs/wire-format.md; the oracle is src/encap/tun-to-udp.ts.
Evaluated tunToUdp(uint8_t* data, uint32_t length, const Tables& tables, const uint8_t* deviceAddress,
                   AnswerBuffer& answer);

}  // namespace flannel0
