#include "udp_socket.h"

#include <sys/socket.h>

#include <cerrno>

#include "fd.h"
#include "next_hop.h"

namespace flannel0 {

namespace {

// The FORCE variants pass rmem_max/wmem_max but need CAP_NET_ADMIN; without it the kernel's limit has to do.
void setBuffer(int fd, int forced, int plain, int bytes) {
  if (setsockopt(fd, SOL_SOCKET, forced, &bytes, sizeof bytes) < 0) {
    setsockopt(fd, SOL_SOCKET, plain, &bytes, sizeof bytes);
  }
}

}  // namespace

int openUdpSocket(const UdpSocketOptions& options, const char*& failed) {
  const NextHop local = NextHop::of(options.address, options.addressBytes, options.port);
  failed = "socket";
  Fd udp(socket(local.address.base.sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!udp.isOpen()) return -errno;
  setBuffer(udp.get(), SO_RCVBUFFORCE, SO_RCVBUF, options.bufferBytes);
  setBuffer(udp.get(), SO_SNDBUFFORCE, SO_SNDBUF, options.bufferBytes);
  const int one = 1;
  if (options.reusePort) {
    failed = "SO_REUSEPORT";
    if (setsockopt(udp.get(), SOL_SOCKET, SO_REUSEPORT, &one, sizeof one) < 0) return -errno;
  }
  if (local.address.base.sa_family == AF_INET6) {
    failed = "IPV6_V6ONLY";
    if (setsockopt(udp.get(), IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one) < 0) return -errno;
  }
  failed = "bind";
  if (bind(udp.get(), &local.address.base, local.addressLength) < 0) return -errno;
  return udp.release();
}

}  // namespace flannel0
