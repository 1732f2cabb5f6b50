// The path from the TUN to the wire, with its memory: reads a batch, decides (tun_to_udp.h), segments super-packets,
// sends.
#pragma once

#include "packet_batch.h"
#include "path_io.h"
#include "send_batch.h"
#include "verdict.h"

namespace flannel0 {

// Packets of one turn, give or take one super-packet: as many as kBatchPackets super-packets make at MTU 1500 and more.
// It counts where segments are tiny.
inline constexpr uint64_t kMaxTurnPackets = 4096;

class TunToUdpPath {
 public:
  TunToUdpPath(PathIo& io, DirectionCounters& counters) : io_(io), counters_(counters) {}

  bool isMapped() const { return packets_.isMapped(); }
  // Moves at most kBatchPackets reads, or kMaxTurnPackets packets and the rest of the last read's.
  PumpResult pump();

 private:
  void take(uint8_t* data, uint32_t length);
  void takePacket(uint8_t* packet, uint32_t length, const VnetHeader& vnet);
  void takeSuperPacket(uint8_t* packet, uint32_t length, const VnetHeader& vnet);
  void answer(const Evaluated& evaluated, uint32_t packets, uint64_t bytes);
  void answerAboutFirstSegment(Segmenter& segments, uint64_t bytes);
  void drop(DropReason reason, uint32_t packets);
  void received(uint32_t packets, uint64_t bytes);
  uint32_t socketOf(const uint8_t* packet) const;
  void sendSegments(Segmenter& segments, const NextHop* hop, uint32_t socket);
  void flush() { batch_.flush(io_.udpFds.data(), *io_.udpSegmentation, counters_); }

  PathIo& io_;
  DirectionCounters& counters_;
  PacketBatch packets_;
  SendBatch batch_;
  uint64_t turnPackets_ = 0;
};

}  // namespace flannel0
