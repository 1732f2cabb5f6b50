#include "udp_to_tun_path.h"

#include <netinet/udp.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "socket_errors.h"
#include "tun_write.h"
#include "udp_to_tun.h"

#ifndef UDP_GRO
#define UDP_GRO 104
#endif

namespace flannel0 {

namespace {

// Messages of one receive: with UDP_GRO each may hold 64 KiB, and what is received is to fit the L2 cache.
constexpr size_t kCoalescedReceives = 16;
static_assert(kCoalescedReceives <= kBatchPackets);

struct alignas(cmsghdr) GroControl {
  uint8_t bytes[CMSG_SPACE(sizeof(int))];
};

// Size of each datagram but the last in the message, or 0 where it holds one.
uint32_t segmentBytesOf(msghdr& header) {
  for (cmsghdr* control = CMSG_FIRSTHDR(&header); control != nullptr; control = CMSG_NXTHDR(&header, control)) {
    if (control->cmsg_level != SOL_UDP || control->cmsg_type != UDP_GRO) continue;
    int bytes = 0;
    std::memcpy(&bytes, CMSG_DATA(control), sizeof bytes);
    return bytes > 0 ? static_cast<uint32_t>(bytes) : 0;
  }
  return 0;
}

}  // namespace

PumpResult UdpToTunPath::pump() {
  const EpochGuard epoch(*io_.domain, io_.reader);
  const size_t wanted = io_.udpCoalescing ? kCoalescedReceives : kBatchPackets;
  std::array<mmsghdr, kBatchPackets> messages;
  std::array<iovec, kBatchPackets> iovecs;
  std::array<GroControl, kCoalescedReceives> controls;
  for (size_t i = 0; i < wanted; i++) {
    iovecs[i] = {packets_.packet(i), kPacketCapacity};
    messages[i] = {};
    messages[i].msg_hdr.msg_iov = &iovecs[i];
    messages[i].msg_hdr.msg_iovlen = 1;
    if (!io_.udpCoalescing) continue;
    messages[i].msg_hdr.msg_control = controls[i].bytes;
    messages[i].msg_hdr.msg_controllen = sizeof controls[i].bytes;
  }
  PumpResult result;
  const int got = recvmmsg(io_.udpFds.front(), messages.data(), static_cast<unsigned>(wanted), MSG_DONTWAIT, nullptr);
  if (got < 0) {
    if (errno == EBADF || errno == ENOTSOCK) {
      result.failed = "receive udp";
      result.error = errno;
    } else if (errno != EAGAIN && errno != EINTR) {
      // About a datagram sent earlier, or about memory: it passes.
      takeErrors();
    }
    return result;
  }
  result.isDone = static_cast<size_t>(got) < wanted;
  result.packets = static_cast<uint32_t>(got);
  for (size_t i = 0; i < static_cast<size_t>(got); i++) {
    const uint32_t length = messages[i].msg_len;
    if ((messages[i].msg_hdr.msg_flags & MSG_TRUNC) != 0) {
      counters_.add(Counter::received, 1);
      counters_.add(Counter::receivedBytes, length);
      counters_.drop(DropReason::oversize);
      continue;
    }
    takeMessage(packets_.packet(i), length, io_.udpCoalescing ? segmentBytesOf(messages[i].msg_hdr) : 0);
  }
  writeItems();
  return result;
}

void UdpToTunPath::takeErrors() { counters_.add(Counter::peerErrors, drainSocketErrors(io_.udpFds.front())); }

void UdpToTunPath::takeMessage(uint8_t* data, uint32_t length, uint32_t segmentBytes) {
  if (segmentBytes == 0 || segmentBytes >= length) return takeDatagram(data, length);
  for (uint32_t offset = 0; offset < length; offset += segmentBytes) {
    takeDatagram(data + offset, std::min(segmentBytes, length - offset));
  }
}

void UdpToTunPath::takeDatagram(uint8_t* data, uint32_t length) {
  counters_.add(Counter::received, 1);
  counters_.add(Counter::receivedBytes, length);
  const Evaluated evaluated = udpToTun(data, length, *io_.tables);
  if (evaluated.verdict == Verdict::drop) return counters_.drop(evaluated.reason);
  if (joined_.isFull()) writeItems();
  joined_.add(evaluated.data, evaluated.length);
}

void UdpToTunPath::writeItems() {
  joined_.finish();
  for (uint32_t i = 0; i < joined_.itemCount(); i++) {
    TunItem& item = joined_.item(i);
    const int pieces = static_cast<int>(item.packets);
    const DropReason reason = io_.tun.vnetHeader ? writeTunPieces(io_.tunFd, item.pieces.data(), pieces + 1)
                                                 : writeTunPieces(io_.tunFd, item.pieces.data() + 1, pieces);
    if (reason == DropReason::none) {
      counters_.add(Counter::forwarded, item.packets);
      counters_.add(Counter::forwardedBytes, item.length + uint64_t{item.packets - 1} * item.headerLength);
    } else {
      counters_.drop(reason, item.packets);
    }
  }
  joined_.clear();
}

}  // namespace flannel0
