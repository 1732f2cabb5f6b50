// Receive coalescing in software: consecutive TCP segments or UDP datagrams of one flow become one super-packet that
// is written to the TUN in one call. What may be joined is what the kernel's own GRO may join (inet_gro_receive,
// tcp_gro_receive, udp_gro_receive), and a little less: see `canAppend`.
//
//   batch of packets in order of arrival --> add() --> items in order of their first packet --> one writev(2) each
//
// Order within a flow is kept: a packet that cannot be joined closes its flow's item. Nothing waits for more packets
// than the batch has.
#pragma once

#include <sys/uio.h>

#include <array>
#include <cstdint>
#include <memory>

#include "ipv4.h"
#include "vnet_header.h"

namespace flannel0 {

// Packets of one batch at most: 16 receives of 64 datagrams (UDP_MAX_SEGMENTS before Linux 6.9).
inline constexpr uint32_t kMaxItems = 1024;
// Pieces of one item: the joined payload stays where it was received. More than the 64 that one receive brings is
// seldom; the kernel copies from each piece, so more would gain little.
inline constexpr uint32_t kMaxJoined = 64;

// One write to the TUN: a packet as it came, or a super-packet.
struct TunItem {
  VnetHeader vnet;
  uint8_t* packet;          // the first packet; its headers stand for all
  uint32_t headerLength;    // 0: never to be joined
  uint32_t length;          // of the whole item
  uint32_t segmentBytes;    // payload of every packet but the last
  uint32_t packets;
  uint32_t nextSequence;    // TCP: sequence number that follows; UDP: unused
  uint16_t lastId;
  bool isTcp;
  bool isClosed;
  bool fixedId;             // all packets carry the same IP id (allowed with DF, RFC 6864)
  std::array<iovec, kMaxJoined + 1> pieces;  // [0] is left for the vnet header
};

class Coalescer {
 public:
  // Whether the TUN takes TCP and UDP super-packets.
  Coalescer(bool tcp, bool udp);

  bool isFull() const { return count_ == kMaxItems; }
  // Takes the packet in `data[0, length)` (it passed `checkIpv4`, with `length` its total length, and its header's
  // checksum holds), whose bytes stay in place until `clear`. Not when full.
  void add(uint8_t* data, uint32_t length);

  // Writes headers of super-packets into their first packets and completes the items; call once before writing.
  void finish();

  uint32_t itemCount() const { return count_; }
  TunItem& item(uint32_t index) { return items_[index]; }
  void clear();

 private:
  // What add() has found out about a packet that could be joined.
  struct Candidate {
    uint8_t* data;
    uint32_t length;
    uint32_t headerLength;
    uint32_t payloadLength;
    bool isTcp;
  };
  struct Slot {
    uint32_t generation;
    uint32_t item;
  };
  static constexpr uint32_t kSlots = 512;

  bool isCandidate(uint8_t* data, uint32_t length, Candidate& candidate) const;
  bool canAppend(const TunItem& item, const Candidate& candidate) const;
  void append(TunItem& item, const Candidate& candidate);
  TunItem& pushItem(uint8_t* data, uint32_t length);
  void open(TunItem& item, const Candidate& candidate);
  void finishItem(TunItem& item);
  void closeAll();

  bool tcp_;
  bool udp_;
  std::unique_ptr<TunItem[]> items_;
  uint32_t count_ = 0;
  uint32_t generation_ = 1;
  std::array<Slot, kSlots> slots_{};
};

}  // namespace flannel0
