#include "send_batch.h"

#include <netinet/udp.h>

#include <cerrno>
#include <cstring>

#include "socket_errors.h"

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif

namespace flannel0 {

namespace {

DropReason reasonOf(int error) {
  switch (error) {
    case EAGAIN:
    case ENOBUFS:
      return DropReason::sendBufferFull;
    case EMSGSIZE:
      return DropReason::sendMessageSize;
    default:
      return DropReason::sendFailed;
  }
}

void countSent(DirectionCounters& counters, uint32_t packets, uint32_t bytes) {
  counters.add(Counter::forwarded, packets);
  counters.add(Counter::forwardedBytes, bytes);
}

// Errors may keep coming while one send is tried: where somebody forges ICMP, every few microseconds.
constexpr uint32_t kMaxRetries = 8;

// After a send that failed for the `retries + 1`st time: takes off the errors of the past that may have been in the way;
// whether the send deserves another try. The first does in any case: the kernel queues an error before it marks the
// socket with it, so that the mark may come after the queue was emptied.
bool deservesRetry(int error, uint32_t retries, int udpFd, DirectionCounters& counters) {
  if (!mayBePending(error) || retries == kMaxRetries) return false;
  const uint32_t fromNetwork = drainSocketErrors(udpFd);
  counters.add(Counter::peerErrors, fromNetwork);
  // A datagram never causes ECONNREFUSED itself; the other errors may be its own.
  return retries == 0 || fromNetwork > 0 || error == ECONNREFUSED;
}

}  // namespace

SendBatch::SendBatch() : headers_(std::make_unique<uint8_t[]>(kMaxBatchPackets * kMaxSegmentHeader)) {}

void SendBatch::add(const PacketPieces& packet, const NextHop* hop, uint32_t socket) {
  const auto first = static_cast<uint16_t>(pieceCount_);
  // sendmsg does not write to what it sends.
  pieces_[pieceCount_++] = {const_cast<uint8_t*>(packet.header), packet.headerLength};
  if (packet.payloadLength > 0) pieces_[pieceCount_++] = {const_cast<uint8_t*>(packet.payload), packet.payloadLength};
  packets_[count_++] = {hop, packet.length(), first, static_cast<uint16_t>(pieceCount_ - first), socket};
  bytes_ += packet.length();
}

uint32_t SendBatch::buildTrains(bool segmentation) {
  uint32_t trains = 0;
  for (uint32_t i = 0; i < count_;) {
    Train train{i, 1, packets_[i].length, packets_[i].socket};
    const uint32_t size = packets_[i].length;
    while (segmentation && i + train.packets < count_ && train.packets < kMaxTrainPackets) {
      const Packet& next = packets_[i + train.packets];
      const uint32_t previous = packets_[i + train.packets - 1].length;
      if (next.hop != packets_[i].hop || next.socket != train.socket) break;
      if (previous != size || next.length > size) break;
      if (train.bytes + next.length > kMaxTrainBytes) break;
      train.packets++;
      train.bytes += next.length;
    }
    trains_[trains] = train;
    fillMessage(trains, train);
    trains++;
    i += train.packets;
  }
  return trains;
}

void SendBatch::fillMessage(uint32_t index, const Train& train) {
  const Packet& first = packets_[train.firstPacket];
  const Packet& last = packets_[train.firstPacket + train.packets - 1];
  msghdr& header = messages_[index].msg_hdr;
  header = {};
  header.msg_name = const_cast<sockaddr*>(&first.hop->address.base);
  header.msg_namelen = first.hop->addressLength;
  header.msg_iov = &pieces_[first.firstPiece];
  header.msg_iovlen = static_cast<size_t>(last.firstPiece + last.pieces - first.firstPiece);
  if (train.packets == 1) return;
  header.msg_control = controls_[index].bytes;
  header.msg_controllen = sizeof controls_[index].bytes;
  cmsghdr* control = CMSG_FIRSTHDR(&header);
  control->cmsg_level = SOL_UDP;
  control->cmsg_type = UDP_SEGMENT;
  control->cmsg_len = CMSG_LEN(sizeof(uint16_t));
  const auto segmentBytes = static_cast<uint16_t>(first.length);
  std::memcpy(CMSG_DATA(control), &segmentBytes, sizeof segmentBytes);
}

void SendBatch::flush(const int* fds, std::atomic<bool>& segmentation, DirectionCounters& counters) {
  const uint32_t trains = buildTrains(segmentation.load(std::memory_order_relaxed));
  uint32_t retries = 0;  // of train number `done`
  for (uint32_t done = 0; done < trains;) {
    const int udpFd = fds[trains_[done].socket];
    const int sent = sendmmsg(udpFd, &messages_[done], runLength(done, trains), MSG_DONTWAIT);
    if (sent >= 0) {
      retries = 0;
      for (int i = 0; i < sent; i++, done++) countSent(counters, trains_[done].packets, trains_[done].bytes);
      continue;
    }
    const int error = errno;
    if (error == EINTR) continue;
    // The error belongs to the first train that was left, or to none of these but to a datagram sent earlier.
    if (deservesRetry(error, retries, udpFd, counters)) {
      retries++;
      continue;
    }
    retries = 0;
    const Train& train = trains_[done];
    if (train.packets > 1 && (error == EIO || error == EINVAL || error == EMSGSIZE)) {
      if (error == EIO) segmentation.store(false, std::memory_order_relaxed);
      sendSingly(train, udpFd, counters);
    } else {
      counters.drop(reasonOf(error), train.packets);
    }
    done++;
  }
  count_ = 0;
  pieceCount_ = 0;
  bytes_ = 0;
}

uint32_t SendBatch::runLength(uint32_t first, uint32_t trains) const {
  uint32_t length = 1;
  while (first + length < trains && trains_[first + length].socket == trains_[first].socket) length++;
  return length;
}

void SendBatch::sendSingly(const Train& train, int udpFd, DirectionCounters& counters) {
  uint32_t retries = 0;  // of packet number `i`
  for (uint32_t i = 0; i < train.packets;) {
    const Packet& packet = packets_[train.firstPacket + i];
    msghdr header{};
    header.msg_name = const_cast<sockaddr*>(&packet.hop->address.base);
    header.msg_namelen = packet.hop->addressLength;
    header.msg_iov = &pieces_[packet.firstPiece];
    header.msg_iovlen = packet.pieces;
    if (sendmsg(udpFd, &header, MSG_DONTWAIT) >= 0) {
      countSent(counters, 1, packet.length);
      retries = 0;
      i++;
      continue;
    }
    const int error = errno;
    if (error == EINTR) continue;
    if (deservesRetry(error, retries, udpFd, counters)) {
      retries++;
      continue;
    }
    retries = 0;
    counters.drop(reasonOf(error));
    i++;
  }
}

}  // namespace flannel0
