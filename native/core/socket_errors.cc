#include "socket_errors.h"

#include <ctime>  // linux/errqueue.h needs timespec

#include <linux/errqueue.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <cstring>

namespace flannel0 {

namespace {

bool isFromNetwork(msghdr& header) {
  for (cmsghdr* control = CMSG_FIRSTHDR(&header); control != nullptr; control = CMSG_NXTHDR(&header, control)) {
    const bool isIpv4 = control->cmsg_level == SOL_IP && control->cmsg_type == IP_RECVERR;
    const bool isIpv6 = control->cmsg_level == SOL_IPV6 && control->cmsg_type == IPV6_RECVERR;
    if (!isIpv4 && !isIpv6) continue;
    sock_extended_err error;
    if (control->cmsg_len < CMSG_LEN(sizeof error)) return false;
    std::memcpy(&error, CMSG_DATA(control), sizeof error);
    return error.ee_origin == SO_EE_ORIGIN_ICMP || error.ee_origin == SO_EE_ORIGIN_ICMP6;
  }
  return false;
}

}  // namespace

uint32_t drainSocketErrors(int udpFd) {
  uint32_t fromNetwork = 0;
  for (uint32_t i = 0; i < kMaxDrainedErrors;) {
    // The datagram that is quoted is of no interest.
    uint8_t byte;
    iovec piece{&byte, sizeof byte};
    alignas(cmsghdr) uint8_t control[512];
    msghdr header{};
    header.msg_iov = &piece;
    header.msg_iovlen = 1;
    header.msg_control = control;
    header.msg_controllen = sizeof control;
    if (recvmsg(udpFd, &header, MSG_ERRQUEUE | MSG_DONTWAIT) < 0) {
      if (errno == EINTR) continue;
      break;
    }
    i++;
    if (isFromNetwork(header)) fromNetwork++;
  }
  // Reading it clears it. It stands for an entry of the queue, unless that was too full to take it.
  int pending = 0;
  socklen_t length = sizeof pending;
  getsockopt(udpFd, SOL_SOCKET, SO_ERROR, &pending, &length);
  return fromNetwork;
}

}  // namespace flannel0
