// The packet path of a real flanneld (v0.20.2, udp backend), rebuilt from its observed behaviour, defects included:
// what flannel0 has to live with on the other end. Never a pattern for native/.
//
//   proxy --mtu BYTES --listen ADDRESS:PORT --device-address ADDRESS
//
// Opens the next free flannel%d, binds the socket, prints "device NAME" and then obeys lines on its standard input:
//
//   set A.B.C.D/LEN ADDRESS PORT | del A.B.C.D/LEN | stop
//
// Defects that are kept on purpose are marked DEFECT.

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

namespace {

constexpr size_t kMinHeader = 20;
constexpr uint8_t kProtocolIcmp = 1;
constexpr uint8_t kIcmpAnswerTtl = 8;

[[noreturn]] void die(const char* what) {
  std::fprintf(stderr, "proxy: %s: %s\n", what, std::strerror(errno));
  std::exit(1);
}

uint16_t load16(const uint8_t* bytes) { return static_cast<uint16_t>(bytes[0] << 8 | bytes[1]); }

void store16(uint8_t* bytes, uint16_t value) {
  bytes[0] = static_cast<uint8_t>(value >> 8);
  bytes[1] = static_cast<uint8_t>(value);
}

uint32_t load32(const uint8_t* bytes) { return static_cast<uint32_t>(load16(bytes)) << 16 | load16(bytes + 2); }

// RFC 1071, over an even or odd number of bytes.
uint16_t internetChecksum(const uint8_t* bytes, size_t length) {
  uint32_t sum = 0;
  for (size_t i = 0; i < length; ++i) sum += i % 2 == 0 ? static_cast<uint32_t>(bytes[i]) << 8 : bytes[i];
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(~sum);
}

struct Route {
  uint32_t network;
  uint32_t mask;
  sockaddr_in next_hop;
};

// DEFECT: the first entry that matches wins, not the longest, and a hit moves to the front by a swap.
class RouteArray {
 public:
  void set(const Route& route) {
    for (Route& known : routes_) {
      if (known.network == route.network && known.mask == route.mask) {
        known = route;
        return;
      }
    }
    routes_.push_back(route);
  }

  void remove(uint32_t network, uint32_t mask) {
    for (size_t i = 0; i < routes_.size(); ++i) {
      if (routes_[i].network != network || routes_[i].mask != mask) continue;
      routes_[i] = routes_.back();
      routes_.pop_back();
      return;
    }
  }

  const sockaddr_in* find(uint32_t destination) {
    for (size_t i = 0; i < routes_.size(); ++i) {
      if ((destination & routes_[i].mask) != routes_[i].network) continue;
      std::swap(routes_[0], routes_[i]);
      return &routes_[0].next_hop;
    }
    return nullptr;
  }

 private:
  std::vector<Route> routes_;
};

struct Options {
  size_t mtu = 0;
  sockaddr_in listen{};
  in_addr device_address{};
};

class Proxy {
 public:
  Proxy(const Options& options, int tun, int udp)
      : tun_(tun), udp_(udp), device_address_(options.device_address), buffer_(options.mtu) {}

  void run() {
    std::array<pollfd, 3> fds{{{tun_, POLLIN, 0}, {udp_, POLLIN, 0}, {STDIN_FILENO, POLLIN, 0}}};
    while (!stopped_) {
      if (poll(fds.data(), fds.size(), -1) < 0) {
        if (errno == EINTR) continue;
        die("poll");
      }
      if (fds[2].revents != 0) readCommands();
      // DEFECT: under load this loop does not end, and commands starve.
      bool moved = ((fds[0].revents | fds[1].revents) & POLLIN) != 0;
      while (moved) {
        const bool sent = tunToUdp();
        const bool received = udpToTun();
        moved = sent || received;
      }
    }
  }

 private:
  // The buffer's start holds the packet just read. DEFECT: behind it lie bytes of earlier packets.
  bool tunToUdp() {
    const ssize_t length = read(tun_, buffer_.data(), buffer_.size());
    if (length < 0) return false;
    // DEFECT: neither version nor header length is looked at.
    if (static_cast<size_t>(length) < kMinHeader) return true;
    const sockaddr_in* next_hop = routes_.find(load32(&buffer_[16]));
    if (next_hop == nullptr) {
      answerNetUnreachable();
      return true;
    }
    if (!decrementTtl()) return true;
    sendto(udp_, buffer_.data(), static_cast<size_t>(length), 0, reinterpret_cast<const sockaddr*>(next_hop),
           sizeof *next_hop);  // whatever happens, the packet is gone
    return true;
  }

  // DEFECT: whoever sent it, whatever it holds. A datagram longer than the buffer is cut without a word.
  bool udpToTun() {
    const ssize_t length = recv(udp_, buffer_.data(), buffer_.size(), 0);
    if (length < 0) return false;
    if (static_cast<size_t>(length) < kMinHeader) return true;
    if (!decrementTtl()) return true;
    writeTun(buffer_.data(), static_cast<size_t>(length));
    return true;
  }

  // DEFECT: when the hop count runs out nobody hears of it, and TTL 0 on entry wraps to 255 and travels on.
  bool decrementTtl() {
    uint8_t& ttl = buffer_[8];
    ttl = static_cast<uint8_t>(ttl - 1);
    if (ttl == 0) return false;
    // RFC 1141: the TTL is the high byte of its word, so one less there is 0x100 more in the checksum.
    const uint32_t sum = load16(&buffer_[10]) + 0x100u;
    store16(&buffer_[10], static_cast<uint16_t>(sum + (sum >> 16)));
    return true;
  }

  void answerNetUnreachable() {
    const size_t header = (buffer_[0] & 0x0fu) * 4u;
    const bool later_fragment = (load16(&buffer_[6]) & 0x1fff) != 0;
    if (buffer_[9] == kProtocolIcmp || later_fragment || header >= 60) return;
    // DEFECT: header + 8 bytes are quoted however short the packet was: stale bytes leak.
    const size_t quoted = header + 8;
    std::array<uint8_t, 28 + 60 + 8> answer{};
    answer[0] = 0x45;
    store16(&answer[2], static_cast<uint16_t>(28 + quoted));
    answer[8] = kIcmpAnswerTtl;
    answer[9] = kProtocolIcmp;
    // DEFECT: the device's own address as source; the host's kernel drops it as martian unless accept_local is set.
    std::memcpy(&answer[12], &device_address_, 4);
    std::memcpy(&answer[16], &buffer_[12], 4);
    store16(&answer[10], internetChecksum(answer.data(), kMinHeader));
    answer[20] = 3;  // destination unreachable, code 0: net
    std::memcpy(&answer[28], buffer_.data(), quoted);
    store16(&answer[22], internetChecksum(&answer[20], 8 + quoted));
    writeTun(answer.data(), 28 + quoted);
  }

  // DEFECT: a full device is asked again and again without a pause.
  void writeTun(const uint8_t* bytes, size_t length) {
    while (write(tun_, bytes, length) < 0 && errno == EAGAIN) {
    }
  }

  void readCommands() {
    std::array<char, 4096> chunk{};
    const ssize_t length = read(STDIN_FILENO, chunk.data(), chunk.size());
    if (length <= 0) {
      stopped_ = true;  // the control plane is gone
      return;
    }
    pending_.append(chunk.data(), static_cast<size_t>(length));
    for (size_t end = pending_.find('\n'); end != std::string::npos; end = pending_.find('\n')) {
      obey(pending_.substr(0, end));
      pending_.erase(0, end + 1);
    }
  }

  void obey(const std::string& line) {
    std::array<char, 16> network{};
    std::array<char, 16> gateway{};
    unsigned length = 0;
    unsigned port = 0;
    if (line == "stop") {
      stopped_ = true;
      return;
    }
    in_addr network_address{};
    in_addr gateway_address{};
    const bool set = std::sscanf(line.c_str(), "set %15[0-9.]/%u %15[0-9.] %u", network.data(), &length,
                                 gateway.data(), &port) == 4;
    const bool del = !set && std::sscanf(line.c_str(), "del %15[0-9.]/%u", network.data(), &length) == 2;
    if ((!set && !del) || length > 32 || port > 0xffff || inet_aton(network.data(), &network_address) == 0 ||
        (set && inet_aton(gateway.data(), &gateway_address) == 0)) {
      std::fprintf(stderr, "proxy: cannot read command: %s\n", line.c_str());
      std::exit(1);
    }
    const uint32_t mask = length == 0 ? 0 : 0xffffffffu << (32 - length);
    const uint32_t base = ntohl(network_address.s_addr) & mask;
    if (del) {
      routes_.remove(base, mask);
      return;
    }
    sockaddr_in next_hop{};
    next_hop.sin_family = AF_INET;
    next_hop.sin_addr = gateway_address;
    next_hop.sin_port = htons(static_cast<uint16_t>(port));
    routes_.set({base, mask, next_hop});
  }

  int tun_;
  int udp_;
  in_addr device_address_;
  std::vector<uint8_t> buffer_;  // DEFECT: one, of the device's MTU, for both directions
  RouteArray routes_;
  std::string pending_;
  bool stopped_ = false;
};

Options parseOptions(int argc, char** argv) {
  Options options;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string flag = argv[i];
    const std::string value = argv[i + 1];
    const size_t colon = value.find(':');
    if (flag == "--mtu") options.mtu = std::strtoul(value.c_str(), nullptr, 10);
    if (flag == "--device-address") inet_aton(value.c_str(), &options.device_address);
    if (flag == "--listen" && colon != std::string::npos) {
      options.listen.sin_family = AF_INET;
      options.listen.sin_port = htons(static_cast<uint16_t>(std::strtoul(value.c_str() + colon + 1, nullptr, 10)));
      inet_aton(value.substr(0, colon).c_str(), &options.listen.sin_addr);
    }
  }
  if (options.mtu < 68 || options.mtu > 65535 || options.listen.sin_port == 0 || options.device_address.s_addr == 0) {
    std::fprintf(stderr, "usage: proxy --mtu BYTES --listen ADDRESS:PORT --device-address ADDRESS\n");
    std::exit(2);
  }
  return options;
}

int openTun() {
  const int tun = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (tun < 0) die("open /dev/net/tun");
  ifreq request{};
  request.ifr_flags = IFF_TUN | IFF_NO_PI;
  std::strncpy(request.ifr_name, "flannel%d", IFNAMSIZ - 1);
  if (ioctl(tun, TUNSETIFF, &request) < 0) die("TUNSETIFF");
  std::printf("device %s\n", request.ifr_name);
  return tun;
}

int openUdp(const sockaddr_in& listen) {
  const int udp = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (udp < 0) die("socket");
  if (bind(udp, reinterpret_cast<const sockaddr*>(&listen), sizeof listen) < 0) die("bind");
  return udp;
}

}  // namespace

int main(int argc, char** argv) {
  const Options options = parseOptions(argc, argv);
  const int tun = openTun();
  const int udp = openUdp(options.listen);
  std::fflush(stdout);
  Proxy(options, tun, udp).run();
}
