#include "udp_socket.h"

#include <netinet/udp.h>
#include <sys/socket.h>

#include <cerrno>

#include "fd.h"
#include "next_hop.h"

// linux/udp.h; older C libraries lack them.
#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif

namespace flannel0 {

namespace {

// The FORCE variants pass rmem_max/wmem_max but need CAP_NET_ADMIN; without it the kernel's limit has to do.
void setBuffer(int fd, int forced, int plain, int bytes) {
  if (setsockopt(fd, SOL_SOCKET, forced, &bytes, sizeof bytes) < 0) {
    setsockopt(fd, SOL_SOCKET, plain, &bytes, sizeof bytes);
  }
}

}  // namespace

int openUdpSocket(UdpSocketOptions& options, const char*& failed) {
  const NextHop local = NextHop::of(options.address, options.addressBytes, options.port);
  failed = "socket";
  Fd udp(socket(local.address.base.sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!udp.isOpen()) return -errno;
  setBuffer(udp.get(), SO_RCVBUFFORCE, SO_RCVBUF, options.receiveBufferBytes);
  setBuffer(udp.get(), SO_SNDBUFFORCE, SO_SNDBUF, options.sendBufferBytes);
  const int one = 1;
  if (options.reusePort) {
    failed = "SO_REUSEPORT";
    if (setsockopt(udp.get(), SOL_SOCKET, SO_REUSEPORT, &one, sizeof one) < 0) return -errno;
  }
  failed = "IP_RECVERR";
  const bool isIpv6 = local.address.base.sa_family == AF_INET6;
  if (setsockopt(udp.get(), isIpv6 ? IPPROTO_IPV6 : IPPROTO_IP, isIpv6 ? IPV6_RECVERR : IP_RECVERR, &one, sizeof one) <
      0) {
    return -errno;
  }
  if (isIpv6) {
    failed = "IPV6_V6ONLY";
    if (setsockopt(udp.get(), IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one) < 0) return -errno;
  }
  // Reading the default segment size changes nothing and tells whether the kernel knows the option.
  int segmentBytes = 0;
  socklen_t length = sizeof segmentBytes;
  options.segmentation =
      options.segmentation && getsockopt(udp.get(), SOL_UDP, UDP_SEGMENT, &segmentBytes, &length) == 0;
  options.coalescing = options.coalescing && setsockopt(udp.get(), SOL_UDP, UDP_GRO, &one, sizeof one) == 0;
  failed = "bind";
  if (bind(udp.get(), &local.address.base, local.addressLength) < 0) return -errno;
  return udp.release();
}

}  // namespace flannel0
