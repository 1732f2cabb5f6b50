// Memory for a batch of packets.
//
//   slot:  | headroom, 64 bytes | packet, up to 64 KiB |
//
// The headroom takes what stands in front of a packet without moving it: a virtio_net_hdr when TUN offloads are on.
// Slots are mapped once and touched only as far as packets reach into them, so a batch of small packets costs a page
// a slot.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdint>

namespace flannel0 {

// Packets per system-call batch and per direction before the other direction gets its turn: enough to spread the cost
// of a system call, few enough that neither direction nor a stop request waits long.
inline constexpr size_t kBatchPackets = 64;
inline constexpr size_t kHeadroomBytes = 64;
// The longest IPv4 packet, and more than the longest UDP payload (65,507): nothing is ever cut off.
inline constexpr size_t kPacketCapacity = 65536;

class PacketBatch {
 public:
  PacketBatch() {
    void* memory = mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    memory_ = memory == MAP_FAILED ? nullptr : static_cast<uint8_t*>(memory);
  }
  ~PacketBatch() {
    if (memory_ != nullptr) munmap(memory_, kBytes);
  }
  PacketBatch(const PacketBatch&) = delete;
  PacketBatch& operator=(const PacketBatch&) = delete;

  bool isMapped() const { return memory_ != nullptr; }
  // Start of packet `index`; `kHeadroomBytes` before it and `kPacketCapacity` from it belong to the slot.
  uint8_t* packet(size_t index) { return memory_ + index * kSlotBytes + kHeadroomBytes; }

 private:
  static constexpr size_t kSlotBytes = kHeadroomBytes + kPacketCapacity;
  static constexpr size_t kBytes = kSlotBytes * kBatchPackets;
  uint8_t* memory_;
};

}  // namespace flannel0
