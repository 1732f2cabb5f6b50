// The UDP endpoint that a route leads to, ready for sendmsg(2).
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdint>
#include <cstring>

namespace flannel0 {

struct NextHop {
  union {
    sockaddr base;
    sockaddr_in ipv4;
    sockaddr_in6 ipv6;
  } address{};
  socklen_t addressLength = 0;

  // `bytes`: 4 or 16 bytes in network order; `port` in host order.
  static NextHop of(const uint8_t* bytes, size_t byteCount, uint16_t port) {
    NextHop hop;
    if (byteCount == 4) {
      hop.address.ipv4.sin_family = AF_INET;
      hop.address.ipv4.sin_port = htons(port);
      std::memcpy(&hop.address.ipv4.sin_addr, bytes, 4);
      hop.addressLength = sizeof(sockaddr_in);
    } else {
      hop.address.ipv6.sin6_family = AF_INET6;
      hop.address.ipv6.sin6_port = htons(port);
      std::memcpy(&hop.address.ipv6.sin6_addr, bytes, 16);
      hop.addressLength = sizeof(sockaddr_in6);
    }
    return hop;
  }

  const uint8_t* addressBytes() const {
    return address.base.sa_family == AF_INET ? reinterpret_cast<const uint8_t*>(&address.ipv4.sin_addr)
                                             : reinterpret_cast<const uint8_t*>(&address.ipv6.sin6_addr);
  }
  size_t addressByteCount() const { return address.base.sa_family == AF_INET ? 4 : 16; }
  uint16_t port() const {
    return ntohs(address.base.sa_family == AF_INET ? address.ipv4.sin_port : address.ipv6.sin6_port);
  }
};

}  // namespace flannel0
