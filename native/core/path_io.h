// What both packet paths of a worker work with. All of it belongs to the worker's thread while that runs.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <vector>

#include "counters.h"
#include "tables.h"
#include "tun.h"

namespace flannel0 {

struct PathIo {
  size_t reader;  // the worker's slot in the epoch domain
  int tunFd;      // used, never closed
  // Sockets, used, never closed. The first one receives and sends; where there are more, flows are spread over all of
  // them, so that they leave by different source ports.
  std::vector<int> udpFds;
  std::array<uint8_t, 4> deviceAddress;
  const Tables* tables;
  EpochDomain* domain;
  TunOffloads tun;
  std::atomic<bool>* udpSegmentation;  // UDP_SEGMENT is in use; the path turns it off where a driver refuses
  bool udpCoalescing;                  // the socket has UDP_GRO
};

// What one turn of a path did.
struct PumpResult {
  bool isDone = true;   // nothing was left to read
  uint32_t packets = 0;
  const char* failed = nullptr;  // the operation that the worker cannot outlive; `error` is its errno
  int error = 0;
};

}  // namespace flannel0
