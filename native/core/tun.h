// Opening a queue of a TUN device (Documentation/networking/tuntap.rst).
#pragma once

#include <string>

namespace flannel0 {

// What the device hands over unfinished, and takes so: in front of each packet stands a virtio_net_hdr.
struct TunOffloads {
  bool vnetHeader = false;  // IFF_VNET_HDR; without it there are no others
  bool checksum = false;    // TUN_F_CSUM
  bool tcp = false;         // TUN_F_TSO4 | TUN_F_TSO_ECN: TCP super-packets up to 64 KiB
  bool udp = false;         // TUN_F_USO4 (Linux 6.2): UDP super-packets
};

struct TunQueueOptions {
  std::string name;  // 1..15 bytes
  bool exclusive;    // EBUSY where the device exists already (IFF_TUN_EXCL)
  bool multiQueue;   // one of several queues (IFF_MULTI_QUEUE)
  TunOffloads offloads;  // wanted; all queues of a device must agree
};

// Returns a non-blocking descriptor, or -errno; `failed` names the call. `options.offloads` becomes what the kernel
// granted: what it does not know is left out, never an error.
int openTunQueue(TunQueueOptions& options, const char*& failed);

}  // namespace flannel0
