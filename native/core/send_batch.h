// Datagrams that wait to be sent: collected packet by packet, sent with as few system calls as the kernel allows.
//
//   packets in order --> trains: runs to one next hop, of equal size but for a shorter last one
//                    --> one message each, with UDP_SEGMENT where it holds more than one (udp(7))
//                    --> one sendmmsg(2) for all messages
#pragma once

#include <sys/socket.h>
#include <sys/uio.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>

#include "counters.h"
#include "next_hop.h"
#include "segment.h"

namespace flannel0 {

// Packets between two flushes: a full 64 KiB super-packet makes 46 at MTU 1500.
inline constexpr uint32_t kMaxBatchPackets = 512;
// Bytes between two flushes: what was read and summed is still in the L2 cache when the kernel copies it.
inline constexpr uint32_t kFlushBytes = 128 * 1024;
// UDP_MAX_SEGMENTS of kernels before 6.9; later ones take more.
inline constexpr uint32_t kMaxTrainPackets = 64;
// The longest UDP payload over IPv4: a train is one payload to the kernel until it is cut.
inline constexpr uint32_t kMaxTrainBytes = 65507;

class SendBatch {
 public:
  SendBatch();

  bool isEmpty() const { return count_ == 0; }
  bool isFull() const { return count_ == kMaxBatchPackets; }
  uint32_t bytes() const { return bytes_; }

  // Where the headers of the next packet may be written (kMaxSegmentHeader bytes); valid until `flush`. Not when full.
  uint8_t* headerSpace() { return &headers_[count_ * kMaxSegmentHeader]; }
  // Adds a packet, to be sent on socket number `socket`; its bytes stay in place until `flush`. Not when full.
  void add(const PacketPieces& packet, const NextHop* hop, uint32_t socket);

  // Sends everything on the sockets `fds` and counts each packet as forwarded or dropped. `segmentation` says whether to use UDP_SEGMENT; a
  // driver that cannot (EIO) turns it off. A train that does not fit its path is sent packet by packet.
  void flush(const int* fds, std::atomic<bool>& segmentation, DirectionCounters& counters);

 private:
  struct Packet {
    const NextHop* hop;
    uint32_t length;
    uint16_t firstPiece;
    uint16_t pieces;
    uint32_t socket;
  };
  struct Train {
    uint32_t firstPacket;
    uint32_t packets;
    uint32_t bytes;
    uint32_t socket;
  };
  struct alignas(cmsghdr) SegmentControl {
    uint8_t bytes[CMSG_SPACE(sizeof(uint16_t))];
  };

  uint32_t buildTrains(bool segmentation);
  void fillMessage(uint32_t index, const Train& train);
  // Trains from `first` that leave by the same socket.
  uint32_t runLength(uint32_t first, uint32_t trains) const;
  void sendSingly(const Train& train, int udpFd, DirectionCounters& counters);

  std::unique_ptr<uint8_t[]> headers_;
  std::array<Packet, kMaxBatchPackets> packets_;
  std::array<iovec, 2 * kMaxBatchPackets> pieces_;
  std::array<Train, kMaxBatchPackets> trains_;
  std::array<mmsghdr, kMaxBatchPackets> messages_;
  std::array<SegmentControl, kMaxBatchPackets> controls_;
  uint32_t count_ = 0;
  uint32_t pieceCount_ = 0;
  uint32_t bytes_ = 0;
};

}  // namespace flannel0
