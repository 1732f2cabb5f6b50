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
  int receiveBufferBytes;  // wanted SO_RCVBUF; the kernel raises it to its least
  int sendBufferBytes;     // wanted SO_SNDBUF
  bool segmentation;  // wanted: UDP_SEGMENT on send (Linux 4.18); becomes what the kernel has
  bool coalescing;    // wanted: UDP_GRO on receive (Linux 5.0); becomes what the kernel has
};

// Returns a bound, non-blocking socket with error reporting (socket_errors.h), or -errno. `failed` names the call. Path MTU discovery stays at the kernel's
// default ("want": DF set, socket(7) ip(7)), as with flannel's own proxy.
int openUdpSocket(UdpSocketOptions& options, const char*& failed);

}  // namespace flannel0
