// One packet worker: a thread with a TUN queue and a UDP socket of its own.
//
//   await {tun, udp, stop} --> tunToUdp batch --> udpToTun batch --> ... until both are drained --> await
//
// It looks again for `pollMicroseconds`, yielding the core, and then sleeps in epoll_wait without a timeout: no packet, no
// wake-up.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <thread>

#include "fd.h"
#include "path_io.h"
#include "tun_to_udp_path.h"
#include "udp_to_tun_path.h"

namespace flannel0 {

// What a worker tells the control plane, seldom. `operation` is a literal, `error` an errno.
struct WorkerEvent {
  enum class Kind { stopped, segmentationOff };
  Kind kind;
  size_t worker;
  const char* operation;
  int error;
};

struct WorkerOptions {
  PathIo io;  // its `udpSegmentation` is the worker's own
  bool udpSegmentation;
  DirectionCounters* counters;  // kDirections blocks
  // How long to look again for packets before going to sleep; 0: not at all.
  uint32_t pollMicroseconds;
  std::function<void(WorkerEvent)> onEvent;  // called on the worker's thread
};

class Worker {
 public:
  explicit Worker(WorkerOptions options);
  ~Worker() { stop(); }
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  // Returns 0 or -errno.
  int start();
  // Idempotent: asks the thread to end and joins it, after at most one batch in each direction.
  void stop();
  // Any thread: whether UDP_SEGMENT is in use.
  bool usesUdpSegmentation() const { return udpSegmentation_.load(std::memory_order_relaxed); }

 private:
  struct Ready {
    bool tun;
    bool udp;
  };

  void run();
  bool openWaitSet();
  // Waits until a descriptor is readable (neither: to stop); false where the worker must end.
  bool await(Ready& ready);
  // One turn of each direction that is ready; false where the worker must end.
  bool turn(Ready& ready);
  bool isFailed(const PumpResult& result);
  void tellIfSegmentationWentOff();

  WorkerOptions options_;
  std::atomic<bool> udpSegmentation_;
  bool toldSegmentation_;
  TunToUdpPath tunToUdp_;
  UdpToTunPath udpToTun_;
  Fd stopEvent_;
  Fd waitSet_;
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

}  // namespace flannel0
