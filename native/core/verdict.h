// What the packet path decides about one packet. Pure functions of bytes and tables (tun_to_udp.h, udp_to_tun.h)
// return it; the worker acts on it.
#pragma once

#include <array>
#include <cstdint>

#include "drop_reason.h"
#include "next_hop.h"

namespace flannel0 {

enum class Verdict : uint8_t {
  forward,  // send `data` on: as a datagram to `nextHop`, or as a packet to the TUN
  answer,   // write `data`, an ICMP message made for the packet's sender, back to the TUN
  drop,     // count `reason`
};

inline constexpr std::array kVerdictNames = {"forward", "answer", "drop"};

// `data` points into the packet's own buffer (forward) or into the caller's answer buffer (answer) and is valid as long
// as that buffer; `nextHop` is valid until the reader leaves its epoch (epoch.h).
struct Evaluated {
  Verdict verdict = Verdict::drop;
  DropReason reason = DropReason::none;
  uint8_t* data = nullptr;
  uint32_t length = 0;
  const NextHop* nextHop = nullptr;

  static Evaluated dropped(DropReason reason) { return {Verdict::drop, reason, nullptr, 0, nullptr}; }
};

}  // namespace flannel0
