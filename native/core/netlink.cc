#include "netlink.h"

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <cerrno>
#include <cstring>

#include "netlink_parse.h"
#include "thread.h"

namespace flannel0 {

namespace {

// The kernel fills dump buffers of at most 32 KiB (netlink(7), NLMSG_GOODSIZE and its growth); one message with many
// attributes stays below.
constexpr size_t kReceiveBytes = 64 * 1024;
// A dump that keeps changing under us is asked for this often before the caller hears EAGAIN.
constexpr int kDumpAttempts = 10;
// The kernel answers at once; only a defect would make us wait. Bounds how long JavaScript can stand still.
constexpr timeval kReplyTimeout = {5, 0};

Fd openSocket(int protocol, uint32_t groups, int& error) {
  Fd netlink(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol));
  if (!netlink.isOpen()) {
    error = -errno;
    return netlink;
  }
  sockaddr_nl local{};
  local.nl_family = AF_NETLINK;
  local.nl_groups = groups;
  if (bind(netlink.get(), reinterpret_cast<sockaddr*>(&local), sizeof local) < 0) {
    error = -errno;
    return Fd();
  }
  const int one = 1;
  // Better messages and filters where the kernel has them; nothing depends on it.
  setsockopt(netlink.get(), SOL_NETLINK, NETLINK_EXT_ACK, &one, sizeof one);
  setsockopt(netlink.get(), SOL_NETLINK, NETLINK_CAP_ACK, &one, sizeof one);
  setsockopt(netlink.get(), SOL_NETLINK, NETLINK_GET_STRICT_CHK, &one, sizeof one);
  setsockopt(netlink.get(), SOL_SOCKET, SO_RCVTIMEO, &kReplyTimeout, sizeof kReplyTimeout);
  error = 0;
  return netlink;
}

// Receives one datagram from the kernel (port id 0); anything from another process is skipped.
ssize_t receive(int fd, std::vector<uint8_t>& buffer, int flags) {
  for (;;) {
    sockaddr_nl from{};
    socklen_t fromLength = sizeof from;
    const ssize_t got = recvfrom(fd, buffer.data(), buffer.size(), flags | MSG_TRUNC,
                                 reinterpret_cast<sockaddr*>(&from), &fromLength);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return -errno;
    if (from.nl_pid != 0) continue;
    if (static_cast<size_t>(got) > buffer.size()) return -EMSGSIZE;
    return got;
  }
}

struct Exchange {
  bool finished = false;
  bool interrupted = false;
  int result = 0;
};

bool collect(const nlmsghdr& header, const uint8_t* message, uint32_t sequence, Exchange& exchange,
             std::vector<NetlinkMessage>& answer, std::string& explanation) {
  if (header.nlmsg_seq != sequence) return true;
  if ((header.nlmsg_flags & NLM_F_DUMP_INTR) != 0) exchange.interrupted = true;
  if (header.nlmsg_type != NLMSG_ERROR && header.nlmsg_type != NLMSG_DONE) {
    answer.emplace_back(message, message + header.nlmsg_len);
    return true;
  }
  exchange.finished = true;
  int32_t error = 0;
  if (header.nlmsg_len >= sizeof(nlmsghdr) + sizeof error) {
    std::memcpy(&error, message + sizeof(nlmsghdr), sizeof error);
  }
  exchange.result = error < 0 ? error : 0;
  if (header.nlmsg_type == NLMSG_ERROR && header.nlmsg_len >= sizeof(nlmsghdr) + sizeof(nlmsgerr)) {
    explanation = extendedAck(header, message);
  }
  return false;
}

int exchangeOnce(int fd, std::vector<uint8_t>& request, uint32_t sequence, std::vector<NetlinkMessage>& answer,
                 std::string& explanation, bool& interrupted) {
  nlmsghdr header;
  std::memcpy(&header, request.data(), sizeof header);
  header.nlmsg_len = static_cast<uint32_t>(request.size());
  header.nlmsg_seq = sequence;
  header.nlmsg_pid = 0;
  header.nlmsg_flags = static_cast<uint16_t>(header.nlmsg_flags | NLM_F_REQUEST | NLM_F_ACK);
  std::memcpy(request.data(), &header, sizeof header);
  sockaddr_nl kernel{};
  kernel.nl_family = AF_NETLINK;
  if (sendto(fd, request.data(), request.size(), 0, reinterpret_cast<sockaddr*>(&kernel), sizeof kernel) < 0) {
    return -errno;
  }
  answer.clear();
  explanation.clear();
  Exchange exchange;
  std::vector<uint8_t> buffer(kReceiveBytes);
  while (!exchange.finished) {
    const ssize_t got = receive(fd, buffer, 0);
    if (got < 0) return got == -EAGAIN ? -ETIMEDOUT : static_cast<int>(got);
    forEachMessage(buffer.data(), static_cast<size_t>(got), [&](const nlmsghdr& each, const uint8_t* message) {
      return collect(each, message, sequence, exchange, answer, explanation);
    });
  }
  interrupted = exchange.interrupted;
  return exchange.result;
}

}  // namespace

int netlinkRequest(int protocol, std::vector<uint8_t> request, std::vector<NetlinkMessage>& answer, std::string& explanation) {
  if (request.size() < sizeof(nlmsghdr)) return -EINVAL;
  int error = 0;
  const Fd netlink = openSocket(protocol, 0, error);
  if (!netlink.isOpen()) return error;
  for (uint32_t attempt = 1; attempt <= kDumpAttempts; attempt++) {
    bool interrupted = false;
    const int result = exchangeOnce(netlink.get(), request, attempt, answer, explanation, interrupted);
    if (result < 0 || !interrupted) return result;
  }
  return -EAGAIN;
}

int NetlinkMonitor::start(uint32_t groups) {
  int error = 0;
  socket_ = openSocket(NETLINK_ROUTE, groups, error);
  if (!socket_.isOpen()) return error;
  stopEvent_ = Fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!stopEvent_.isOpen()) return -errno;
  return startThread(thread_, [this] { run(); });
}

void NetlinkMonitor::stop() {
  if (!thread_.joinable()) return;
  const uint64_t one = 1;
  // An eventfd write of 1 fails only when the counter is full, and then the thread wakes as well.
  if (write(stopEvent_.get(), &one, sizeof one) < 0) (void)0;
  thread_.join();
}

void NetlinkMonitor::run() {
  pthread_setname_np(pthread_self(), "fl0-netlink");
  std::vector<uint8_t> buffer(kReceiveBytes);
  pollfd fds[2] = {{socket_.get(), POLLIN, 0}, {stopEvent_.get(), POLLIN, 0}};
  for (;;) {
    if (poll(fds, 2, -1) < 0 && errno != EINTR) return;
    if (fds[1].revents != 0) return;
    if (fds[0].revents == 0) continue;
    std::vector<NetlinkMessage> messages;
    const ssize_t got = receive(socket_.get(), buffer, MSG_DONTWAIT);
    if (got == -EAGAIN) continue;
    if (got >= 0) {
      forEachMessage(buffer.data(), static_cast<size_t>(got), [&](const nlmsghdr& header, const uint8_t* message) {
        messages.emplace_back(message, message + header.nlmsg_len);
        return true;
      });
      if (messages.empty()) continue;
    } else if (got != -ENOBUFS && got != -EMSGSIZE) {
      return;
    }
    callback_(std::move(messages));
  }
}

}  // namespace flannel0
