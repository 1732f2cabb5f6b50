#include "worker.h"

#include <pthread.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>

#include "thread.h"

namespace flannel0 {

using SteadyClock = std::chrono::steady_clock;

Worker::Worker(WorkerOptions options)
    : options_(std::move(options)),
      udpSegmentation_(options_.udpSegmentation),
      toldSegmentation_(options_.udpSegmentation),
      tunToUdp_(options_.io, options_.counters[static_cast<size_t>(Direction::tunToUdp)]),
      udpToTun_(options_.io, options_.counters[static_cast<size_t>(Direction::udpToTun)]) {
  options_.io.udpSegmentation = &udpSegmentation_;
}

int Worker::start() {
  if (!tunToUdp_.isMapped() || !udpToTun_.isMapped()) return -ENOMEM;
  stopEvent_ = Fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!stopEvent_.isOpen()) return -errno;
  return startThread(thread_, [this] { run(); });
}

void Worker::stop() {
  if (!thread_.joinable()) return;
  stopping_.store(true);
  const uint64_t one = 1;
  // An eventfd write of 1 fails only when the counter is full, and then the thread wakes as well.
  if (write(stopEvent_.get(), &one, sizeof one) < 0) (void)0;
  thread_.join();
}

void Worker::run() {
  char name[16];
  snprintf(name, sizeof name, "fl0-worker-%u", static_cast<unsigned>(options_.io.reader % 1000));
  pthread_setname_np(pthread_self(), name);
  if (!openWaitSet()) return;
  while (!stopping_.load(std::memory_order_relaxed)) {
    Ready ready;
    if (!await(ready)) return;
    // What was full is read again before the kernel is asked anew; both directions take turns.
    while ((ready.tun || ready.udp) && !stopping_.load(std::memory_order_relaxed)) {
      if (!turn(ready)) return;
    }
  }
}

bool Worker::turn(Ready& ready) {
  if (ready.tun) {
    const PumpResult result = tunToUdp_.pump();
    if (isFailed(result)) return false;
    tellIfSegmentationWentOff();
    ready.tun = !result.isDone;
  }
  if (ready.udp) {
    const PumpResult result = udpToTun_.pump();
    if (isFailed(result)) return false;
    ready.udp = !result.isDone;
  }
  return true;
}

bool Worker::isFailed(const PumpResult& result) {
  if (result.failed == nullptr) return false;
  options_.onEvent({WorkerEvent::Kind::stopped, options_.io.reader, result.failed, result.error});
  return true;
}

void Worker::tellIfSegmentationWentOff() {
  if (!toldSegmentation_ || usesUdpSegmentation()) return;
  toldSegmentation_ = false;
  options_.onEvent({WorkerEvent::Kind::segmentationOff, options_.io.reader, "send udp", EIO});
}

// epoll(7) rather than poll(2): the descriptors are put on their wait queues once, not at each sleep.
bool Worker::openWaitSet() {
  waitSet_ = Fd(epoll_create1(EPOLL_CLOEXEC));
  const int fds[] = {options_.io.tunFd, options_.io.udpFds.front(), stopEvent_.get()};
  for (const int fd : fds) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = fd;
    if (waitSet_.isOpen() && epoll_ctl(waitSet_.get(), EPOLL_CTL_ADD, fd, &event) == 0) continue;
    options_.onEvent({WorkerEvent::Kind::stopped, options_.io.reader, "epoll", errno});
    return false;
  }
  return true;
}

bool Worker::await(Ready& ready) {
  const auto patience = std::chrono::microseconds(options_.pollMicroseconds);
  const auto sleepAt = patience.count() > 0 ? SteadyClock::now() + patience : SteadyClock::time_point{};
  bool asleep = patience.count() == 0;
  for (;;) {
    epoll_event events[3];
    const int count = epoll_wait(waitSet_.get(), events, 3, asleep ? -1 : 0);
    if (count < 0 && errno != EINTR) {
      options_.onEvent({WorkerEvent::Kind::stopped, options_.io.reader, "epoll", errno});
      return false;
    }
    ready = {false, false};
    for (int i = 0; i < count; i++) {
      // An error on a descriptor is met, and told, by reading; what the network reported has a queue of its own.
      if (events[i].data.fd == options_.io.tunFd) ready.tun = true;
      if (events[i].data.fd != options_.io.udpFds.front()) continue;
      ready.udp = (events[i].events & ~static_cast<uint32_t>(EPOLLERR)) != 0;
      if ((events[i].events & EPOLLERR) != 0) udpToTun_.takeErrors();
    }
    if (count != 0) return true;
    // Where others want the core they get it; on an idle one this returns at once.
    sched_yield();
    asleep = SteadyClock::now() >= sleepAt;
  }
}

}  // namespace flannel0
