// From the wire to the TUN: what happens to one datagram that a peer sent.
#pragma once

#include "tables.h"
#include "verdict.h"

namespace flannel0 {

// Evaluates the datagram in `data[0, length)`, changing TTL and checksum in place where it is forwarded. The caller is
// inside an epoch of `tables`. Checks and their order: docs/wire-format.md; the oracle is src/encap/udp-to-tun.ts.
Evaluated udpToTun(uint8_t* data, uint32_t length, const Tables& tables);

}  // namespace flannel0
