#include "worker.h"

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>

#include "tun_to_udp.h"
#include "udp_to_tun.h"

namespace flannel0 {

// Datagrams of one tunToUdp batch that wait for sendmmsg(2).
struct Worker::SendBatch {
  std::array<mmsghdr, kBatchPackets> messages{};
  std::array<iovec, kBatchPackets> iovecs{};
  unsigned count = 0;

  void push(const Evaluated& packet) {
    iovecs[count] = {packet.data, packet.length};
    msghdr& header = messages[count].msg_hdr;
    header.msg_iov = &iovecs[count];
    header.msg_iovlen = 1;
    // sendmmsg does not write to the name.
    header.msg_name = const_cast<sockaddr*>(&packet.nextHop->address.base);
    header.msg_namelen = packet.nextHop->addressLength;
    count++;
  }
};

int Worker::start() {
  if (!fromTun_.isMapped() || !fromUdp_.isMapped()) return -ENOMEM;
  stopEvent_ = Fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!stopEvent_.isOpen()) return -errno;
  // Signals belong to the main thread.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread([this] { run(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return 0;
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
  snprintf(name, sizeof name, "fl0-worker-%u", static_cast<unsigned>(options_.index % 1000));
  pthread_setname_np(pthread_self(), name);
  pollfd fds[3] = {{options_.tunFd, POLLIN, 0}, {options_.udpFd, POLLIN, 0}, {stopEvent_.get(), POLLIN, 0}};
  while (!stopping_.load(std::memory_order_relaxed)) {
    if (poll(fds, 3, -1) < 0 && errno != EINTR) {
      fail("poll", errno);
      return;
    }
    for (bool moved = true; moved && !stopping_.load(std::memory_order_relaxed);) {
      const int fromTun = pumpTunToUdp();
      const int fromUdp = fromTun < 0 ? -1 : pumpUdpToTun();
      if (fromTun < 0 || fromUdp < 0) return;
      moved = fromTun + fromUdp > 0;
    }
  }
}

int Worker::fail(const char* operation, int error) {
  options_.onFailure({options_.index, operation, error});
  return -1;
}

int Worker::pumpTunToUdp() {
  DirectionCounters& count = counters(Direction::tunToUdp);
  const EpochGuard epoch(*options_.domain, options_.index);
  SendBatch batch;
  int packets = 0;
  for (size_t i = 0; i < kBatchPackets; i++) {
    uint8_t* data = fromTun_.packet(i);
    const ssize_t got = read(options_.tunFd, data, kPacketCapacity);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) break;
    // EBADFD or EFAULT: the device was deleted under us.
    if (got < 0) return fail("read tun", errno);
    packets++;
    count.add(Counter::received, 1);
    count.add(Counter::receivedBytes, static_cast<uint64_t>(got));
    AnswerBuffer answer;
    const Evaluated evaluated =
        tunToUdp(data, static_cast<uint32_t>(got), *options_.tables, options_.deviceAddress, answer);
    switch (evaluated.verdict) {
      case Verdict::forward:
        batch.push(evaluated);
        break;
      case Verdict::answer:
        answerOnTun(evaluated, count);
        break;
      case Verdict::drop:
        count.drop(evaluated.reason);
        break;
    }
  }
  send(batch, count);
  return packets;
}

void Worker::answerOnTun(const Evaluated& evaluated, DirectionCounters& count) {
  if (!writeTun(evaluated.data, evaluated.length, count)) return;
  count.add(Counter::answered, 1);
  count.add(Counter::answeredBytes, evaluated.length);
}

bool Worker::writeTun(const uint8_t* data, uint32_t length, DirectionCounters& count) {
  for (;;) {
    if (write(options_.tunFd, data, length) >= 0) return true;
    if (errno == EINTR) continue;
    count.drop(errno == EAGAIN || errno == ENOBUFS ? DropReason::tunQueueFull : DropReason::tunWriteFailed);
    return false;
  }
}

void Worker::send(SendBatch& batch, DirectionCounters& count) {
  for (unsigned done = 0; done < batch.count;) {
    const int sent = sendmmsg(options_.udpFd, &batch.messages[done], batch.count - done, MSG_DONTWAIT);
    if (sent > 0) {
      for (int i = 0; i < sent; i++) {
        count.add(Counter::forwarded, 1);
        count.add(Counter::forwardedBytes, batch.iovecs[done++].iov_len);
      }
      continue;
    }
    if (errno == EINTR) continue;
    // The error belongs to the first datagram that was left; the others get their turn.
    switch (errno) {
      case EAGAIN:
      case ENOBUFS:
        count.drop(DropReason::sendBufferFull);
        break;
      case EMSGSIZE:
        count.drop(DropReason::sendMessageSize);
        break;
      default:
        count.drop(DropReason::sendFailed);
    }
    done++;
  }
}

int Worker::pumpUdpToTun() {
  DirectionCounters& count = counters(Direction::udpToTun);
  const EpochGuard epoch(*options_.domain, options_.index);
  std::array<mmsghdr, kBatchPackets> messages{};
  std::array<iovec, kBatchPackets> iovecs;
  for (size_t i = 0; i < kBatchPackets; i++) {
    iovecs[i] = {fromUdp_.packet(i), kPacketCapacity};
    messages[i].msg_hdr.msg_iov = &iovecs[i];
    messages[i].msg_hdr.msg_iovlen = 1;
  }
  const int got = recvmmsg(options_.udpFd, messages.data(), kBatchPackets, MSG_DONTWAIT, nullptr);
  if (got < 0) {
    // Errors of an unconnected socket are about single datagrams (or about memory) and pass.
    if (errno == EBADF || errno == ENOTSOCK) return fail("receive udp", errno);
    return 0;
  }
  for (size_t i = 0; i < static_cast<size_t>(got); i++) {
    const uint32_t length = messages[i].msg_len;
    count.add(Counter::received, 1);
    count.add(Counter::receivedBytes, length);
    if ((messages[i].msg_hdr.msg_flags & MSG_TRUNC) != 0) {
      count.drop(DropReason::oversize);
      continue;
    }
    const Evaluated evaluated = udpToTun(fromUdp_.packet(i), length, *options_.tables);
    if (evaluated.verdict == Verdict::drop) {
      count.drop(evaluated.reason);
    } else if (writeTun(evaluated.data, evaluated.length, count)) {
      count.add(Counter::forwarded, 1);
      count.add(Counter::forwardedBytes, evaluated.length);
    }
  }
  return got;
}

}  // namespace flannel0
