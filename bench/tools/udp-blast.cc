// A UDP load generator that is cheaper per packet than what it measures, and a sink that counts what arrived.
//
//   udp-blast sink ADDRESS PORT BYTES
//       Prints "ready", counts until SIGTERM or SIGINT, prints one line of JSON.
//   udp-blast send ADDRESS PORT BYTES SECONDS [SENDERS [PACKETS_PER_SECOND]]
//       SENDERS threads (1), each with a socket, so a source port, of its own. As fast as it goes, or at a rate in all.
//       Prints one line of JSON.
//
// BYTES is the UDP payload. Each begins with a magic number, the sender's index and a sequence number:
//
//    0               4               8                              16
//    +---------------+---------------+-------------------------------+
//    | magic         | sender        | sequence number               |  native byte order: both ends are one machine
//    +---------------+---------------+-------------------------------+
//
// Plain datagrams on purpose, no UDP_SEGMENT: the path has to carry each packet by itself.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <thread>
#include <vector>

namespace {

constexpr uint32_t kMagic = 0xf1a7b1a5;
constexpr size_t kHeaderBytes = 16;
constexpr size_t kMaxBytes = 65507;
constexpr uint64_t kMaxSenders = 64;
// One system call's worth: larger batches measured no better, and hold the clock check back.
constexpr size_t kBatch = 64;
constexpr int kSocketBufferBytes = 8 << 20;

using Clock = std::chrono::steady_clock;

struct Header {
  uint32_t magic;
  uint32_t sender;
  uint64_t sequence;
};
static_assert(sizeof(Header) == kHeaderBytes);

std::atomic<bool> stopped{false};
static_assert(std::atomic<bool>::is_always_lock_free, "written by a signal handler");

[[noreturn]] void die(const char* what) {
  std::fprintf(stderr, "udp-blast: %s: %s\n", what, std::strerror(errno));
  std::exit(1);
}

[[noreturn]] void usage() {
  std::fprintf(stderr,
               "usage: udp-blast sink ADDRESS PORT BYTES\n"
               "       udp-blast send ADDRESS PORT BYTES SECONDS [SENDERS [PACKETS_PER_SECOND]]\n");
  std::exit(2);
}

uint64_t number(std::string_view text, uint64_t least, uint64_t most) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value < least || value > most) {
    std::fprintf(stderr, "udp-blast: %.*s is not a number from %llu to %llu\n", static_cast<int>(text.size()),
                 text.data(), static_cast<unsigned long long>(least), static_cast<unsigned long long>(most));
    std::exit(2);
  }
  return value;
}

sockaddr_in endpoint(const char* address, uint64_t port) {
  sockaddr_in result{};
  result.sin_family = AF_INET;
  result.sin_port = htons(static_cast<uint16_t>(port));
  if (inet_pton(AF_INET, address, &result.sin_addr) != 1) {
    std::fprintf(stderr, "udp-blast: %s is no IPv4 address\n", address);
    std::exit(2);
  }
  return result;
}

// The forced variant passes rmem_max, and needs CAP_NET_ADMIN; without it the kernel's limit applies.
void setBuffer(int fd, int forced, int plain) {
  if (setsockopt(fd, SOL_SOCKET, forced, &kSocketBufferBytes, sizeof kSocketBufferBytes) == 0) return;
  if (setsockopt(fd, SOL_SOCKET, plain, &kSocketBufferBytes, sizeof kSocketBufferBytes) != 0) die("socket buffer");
}

struct Batch {
  explicit Batch(size_t bytes) : storage(kBatch * bytes), vectors(kBatch), messages(kBatch) {
    for (size_t i = 0; i < kBatch; ++i) {
      vectors[i] = {storage.data() + i * bytes, bytes};
      messages[i] = {};
      messages[i].msg_hdr.msg_iov = &vectors[i];
      messages[i].msg_hdr.msg_iovlen = 1;
    }
  }
  std::vector<uint8_t> storage;
  std::vector<iovec> vectors;
  std::vector<mmsghdr> messages;
};

struct Counted {
  uint64_t received = 0;
  uint64_t foreign = 0;
  uint64_t reordered = 0;
  std::array<uint64_t, kMaxSenders> next{};

  void add(const mmsghdr& message, size_t bytes) {
    Header header;
    std::memcpy(&header, message.msg_hdr.msg_iov->iov_base, sizeof header);
    const bool whole = message.msg_len == bytes && (message.msg_hdr.msg_flags & MSG_TRUNC) == 0;
    if (!whole || header.magic != kMagic || header.sender >= kMaxSenders) {
      ++foreign;
      return;
    }
    ++received;
    uint64_t& expected = next[header.sender];
    if (header.sequence < expected) {
      ++reordered;
    } else {
      expected = header.sequence + 1;
    }
  }
};

int sink(const sockaddr_in& local, size_t bytes) {
  struct sigaction action {};
  action.sa_handler = [](int) { stopped = true; };
  sigaction(SIGTERM, &action, nullptr);
  sigaction(SIGINT, &action, nullptr);

  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) die("socket");
  setBuffer(fd, SO_RCVBUFFORCE, SO_RCVBUF);
  // The signal may come just before recvmmsg, so that does not wait for ever.
  const timeval patience{.tv_sec = 0, .tv_usec = 100'000};
  if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) != 0) die("SO_RCVTIMEO");
  if (bind(fd, reinterpret_cast<const sockaddr*>(&local), sizeof local) != 0) die("bind");
  std::printf("ready\n");
  std::fflush(stdout);

  Batch batch(bytes);
  Counted counted;
  Clock::time_point first{};
  Clock::time_point last{};
  while (!stopped) {
    const int count = recvmmsg(fd, batch.messages.data(), kBatch, MSG_WAITFORONE, nullptr);
    if (count < 0) {
      if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) continue;
      die("recvmmsg");
    }
    last = Clock::now();
    if (first == Clock::time_point{}) first = last;
    for (size_t i = 0; i < static_cast<size_t>(count); ++i) counted.add(batch.messages[i], bytes);
  }
  std::printf("{\"received\":%llu,\"foreign\":%llu,\"reordered\":%llu,\"seconds\":%.6f}\n",
              static_cast<unsigned long long>(counted.received), static_cast<unsigned long long>(counted.foreign),
              static_cast<unsigned long long>(counted.reordered), std::chrono::duration<double>(last - first).count());
  close(fd);
  return 0;
}

struct Sent {
  uint64_t packets = 0;
  uint64_t refused = 0;
};

// Sends until `end`; at `packetsPerSecond` where that is not 0. A full queue or an ICMP error costs a try, no more.
Sent sendAll(const sockaddr_in& peer, size_t bytes, uint32_t sender, Clock::time_point start, Clock::time_point end,
             double packetsPerSecond) {
  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) die("socket");
  setBuffer(fd, SO_SNDBUFFORCE, SO_SNDBUF);
  if (connect(fd, reinterpret_cast<const sockaddr*>(&peer), sizeof peer) != 0) die("connect");

  Batch batch(bytes);
  Sent sent;
  for (Clock::time_point now = Clock::now(); now < end; now = Clock::now()) {
    if (packetsPerSecond > 0) {
      const double due = std::chrono::duration<double>(now - start).count() * packetsPerSecond;
      const double ahead = static_cast<double>(sent.packets + kBatch) - due;
      if (ahead > 0) {
        std::this_thread::sleep_for(std::chrono::duration<double>(ahead / packetsPerSecond));
        continue;
      }
    }
    for (size_t i = 0; i < kBatch; ++i) {
      const Header header{kMagic, sender, sent.packets + i};
      std::memcpy(batch.vectors[i].iov_base, &header, sizeof header);
    }
    const int count = sendmmsg(fd, batch.messages.data(), kBatch, 0);
    if (count >= 0) {
      sent.packets += static_cast<uint64_t>(count);
    } else if (errno == ENOBUFS || errno == EAGAIN || errno == ECONNREFUSED || errno == EINTR ||
               errno == EHOSTUNREACH || errno == ENETUNREACH) {
      ++sent.refused;
    } else {
      die("sendmmsg");
    }
  }
  close(fd);
  return sent;
}

int send(const sockaddr_in& peer, size_t bytes, uint64_t seconds, uint64_t senders, uint64_t packetsPerSecond) {
  const Clock::time_point start = Clock::now();
  const Clock::time_point end = start + std::chrono::seconds(seconds);
  const double rate = static_cast<double>(packetsPerSecond) / static_cast<double>(senders);
  std::vector<Sent> results(senders);
  std::vector<std::thread> threads;
  for (uint32_t i = 0; i < senders; ++i) {
    threads.emplace_back([&, i] { results[i] = sendAll(peer, bytes, i, start, end, rate); });
  }
  for (std::thread& thread : threads) thread.join();
  Sent sum;
  for (const Sent& one : results) {
    sum.packets += one.packets;
    sum.refused += one.refused;
  }
  std::printf("{\"sent\":%llu,\"refused\":%llu,\"seconds\":%.6f}\n", static_cast<unsigned long long>(sum.packets),
              static_cast<unsigned long long>(sum.refused),
              std::chrono::duration<double>(Clock::now() - start).count());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view mode = argc > 1 ? argv[1] : "";
  if (mode == "sink" && argc == 5) {
    return sink(endpoint(argv[2], number(argv[3], 1, 65535)), number(argv[4], kHeaderBytes, kMaxBytes));
  }
  if (mode == "send" && argc >= 6 && argc <= 8) {
    const uint64_t senders = argc > 6 ? number(argv[6], 1, kMaxSenders) : 1;
    const uint64_t rate = argc > 7 ? number(argv[7], 0, 1'000'000'000) : 0;
    return send(endpoint(argv[2], number(argv[3], 1, 65535)), number(argv[4], kHeaderBytes, kMaxBytes),
                number(argv[5], 1, 3600), senders, rate);
  }
  usage();
}
