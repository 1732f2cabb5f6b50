// Opening a queue of a TUN device (Documentation/networking/tuntap.rst).
#pragma once

#include <string>

namespace flannel0 {

struct TunQueueOptions {
  std::string name;  // 1..15 bytes
  bool exclusive;    // EBUSY where the device exists already (IFF_TUN_EXCL)
  bool multiQueue;   // one of several queues (IFF_MULTI_QUEUE)
};

// Returns a non-blocking descriptor that reads and writes bare IP packets, or -errno. `failed` names the call.
int openTunQueue(const TunQueueOptions& options, const char*& failed);

}  // namespace flannel0
