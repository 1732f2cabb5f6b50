// The forwarder: tables, counters and workers under one roof. Owned and driven by one control thread.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "counters.h"
#include "icmp.h"
#include "tables.h"
#include "verdict.h"
#include "worker.h"

namespace flannel0 {

struct ForwarderOptions {
  std::vector<int> tunFds;  // one per worker; used, never closed
  std::vector<std::vector<int>> udpFds;  // as many sets; the first of each receives as well
  // What the descriptors were opened with.
  TunOffloads tun;
  bool udpSegmentation;
  bool udpCoalescing;
  uint32_t pollMicroseconds;
  std::array<uint8_t, 4> deviceAddress;
  std::function<void(WorkerEvent)> onEvent;  // called on the worker's thread
};

class Forwarder {
 public:
  explicit Forwarder(ForwarderOptions options);
  ~Forwarder() { stop(); }

  // Returns 0 or -errno; on failure nothing runs.
  int start();
  // Idempotent. After it the descriptors may be closed.
  void stop();

  Tables& tables() { return tables_; }
  // What the packet path would do with the packet in `data[0, length)`, which is changed in place.
  Evaluated evaluate(Direction direction, uint8_t* data, uint32_t length, AnswerBuffer& answer);

  // `workers x kDirections` blocks; they live as long as the forwarder.
  DirectionCounters* counters() { return counters_.get(); }
  // Whether every worker uses UDP_SEGMENT now.
  bool usesUdpSegmentation() const;
  size_t workerCount() const { return options_.tunFds.size(); }

 private:
  ForwarderOptions options_;
  Tables tables_;
  std::unique_ptr<DirectionCounters[]> counters_;
  std::vector<std::unique_ptr<Worker>> workers_;
};

}  // namespace flannel0
