// One packet worker: a thread with a TUN queue and a UDP socket of its own.
//
//   poll {tun, udp, stop} --> tunToUdp batch --> udpToTun batch --> ... until neither moved a packet --> poll
//
// It sleeps in poll without a timeout: no packet, no wake-up.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <thread>

#include "counters.h"
#include "fd.h"
#include "icmp.h"
#include "packet_batch.h"
#include "tables.h"
#include "verdict.h"

namespace flannel0 {

// A worker that met an error it cannot outlive. `operation` is a literal, `error` an errno.
struct WorkerFailure {
  size_t worker;
  const char* operation;
  int error;
};

struct WorkerOptions {
  size_t index;        // also its reader slot in the epoch domain
  int tunFd;           // used, never closed
  int udpFd;           // used, never closed
  uint8_t deviceAddress[4];
  const Tables* tables;
  EpochDomain* domain;
  DirectionCounters* counters;  // kDirections blocks
  std::function<void(WorkerFailure)> onFailure;  // called on the worker's thread
};

class Worker {
 public:
  explicit Worker(WorkerOptions options) : options_(std::move(options)) {}
  ~Worker() { stop(); }
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  // Returns 0 or -errno.
  int start();
  // Idempotent: asks the thread to end and joins it, after at most one batch in each direction.
  void stop();

 private:
  struct SendBatch;

  void run();
  // Each moves at most one batch; returns the packets read, or -1 where the worker must end.
  int pumpTunToUdp();
  int pumpUdpToTun();
  void answerOnTun(const Evaluated& evaluated, DirectionCounters& counters);
  bool writeTun(const uint8_t* data, uint32_t length, DirectionCounters& counters);
  void send(SendBatch& batch, DirectionCounters& counters);
  int fail(const char* operation, int error);
  DirectionCounters& counters(Direction direction) { return options_.counters[static_cast<size_t>(direction)]; }

  WorkerOptions options_;
  Fd stopEvent_;
  std::atomic<bool> stopping_{false};
  PacketBatch fromTun_;
  PacketBatch fromUdp_;
  std::thread thread_;
};

}  // namespace flannel0
