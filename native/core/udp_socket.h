// The underlay socket.
#pragma once

#include <cstddef>
#include <cstdint>

namespace flannel0 {

struct UdpSocketOptions {
  const uint8_t* address;  // 4 or 16 bytes, network order
  size_t addressBytes;
  uint16_t port;     // host order; 0 lets the kernel choose
  bool reusePort;    // SO_REUSEPORT, for the workers of one daemon
  int bufferBytes;   // wanted SO_RCVBUF and SO_SNDBUF
};

// Returns a bound, non-blocking socket or -errno. `failed` names the call. Path MTU discovery stays at the kernel's
// default ("want": DF set, socket(7) ip(7)), as with flannel's own proxy.
int openUdpSocket(const UdpSocketOptions& options, const char*& failed);

}  // namespace flannel0
