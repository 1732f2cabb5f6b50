// The path from the wire to the TUN, with its memory: receives a batch, cuts it into datagrams, decides (udp_to_tun.h),
// joins what may be joined (coalesce.h), writes.
#pragma once

#include "coalesce.h"
#include "packet_batch.h"
#include "path_io.h"

namespace flannel0 {

class UdpToTunPath {
 public:
  UdpToTunPath(PathIo& io, DirectionCounters& counters)
      : io_(io), counters_(counters), joined_(io.tun.tcp, io.tun.udp) {}

  bool isMapped() const { return packets_.isMapped(); }
  // Moves at most one receive batch.
  PumpResult pump();
  // Takes what the network reported off the socket, where it would keep `poll` from sleeping.
  void takeErrors();

 private:
  void takeMessage(uint8_t* data, uint32_t length, uint32_t segmentBytes);
  void takeDatagram(uint8_t* data, uint32_t length);
  void writeItems();

  PathIo& io_;
  DirectionCounters& counters_;
  PacketBatch packets_;
  Coalescer joined_;
};

}  // namespace flannel0
