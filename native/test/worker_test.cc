// The forwarder with its threads: a socket pair stands for the TUN (one packet per read and write, like the device).
#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>

#include <map>

#include "../core/forwarder.h"
#include "../core/udp_socket.h"
#include "check.h"
#include "packets.h"

namespace flannel0 {
namespace {

constexpr uint8_t kLoopback[4] = {127, 0, 0, 1};

struct Endpoint {
  Fd fd;
  uint16_t port = 0;
};

Endpoint openEndpoint(bool coalescing) {
  const char* failed = "";
  Endpoint endpoint;
  UdpSocketOptions options{kLoopback, 4, 0, false, 1 << 20, 1 << 20, true, coalescing};
  endpoint.fd = Fd(openUdpSocket(options, failed));
  CHECK(endpoint.fd.isOpen());
  sockaddr_in address{};
  socklen_t length = sizeof address;
  CHECK(getsockname(endpoint.fd.get(), reinterpret_cast<sockaddr*>(&address), &length) == 0);
  endpoint.port = ntohs(address.sin_port);
  return endpoint;
}

// Waits for one packet; the deadline only turns a defect into a failure.
test::Packet receive(int fd) {
  pollfd waiting{fd, POLLIN, 0};
  CHECK(poll(&waiting, 1, 20000) == 1);
  test::Packet packet(70000);
  const ssize_t got = recv(fd, packet.data(), packet.size(), 0);
  CHECK(got >= 0);
  packet.resize(static_cast<size_t>(got));
  return packet;
}

struct Bench {
  Fd kernelSide;
  Fd tun;
  Endpoint udp = openEndpoint(true);
  Endpoint peer = openEndpoint(false);
  std::vector<WorkerEvent> events;
  std::unique_ptr<Forwarder> forwarder;

  Bench() {
    int pair[2];
    CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair) == 0);
    kernelSide = Fd(pair[0]);
    tun = Fd(pair[1]);
    ForwarderOptions options{};
    options.tunFds = {tun.get()};
    options.udpFds = {{udp.fd.get()}};
    options.deviceAddress = {10, 5, 21, 0};
    options.udpSegmentation = true;
    options.udpCoalescing = true;
    options.onEvent = [this](WorkerEvent event) { events.push_back(event); };
    forwarder = std::make_unique<Forwarder>(std::move(options));
    RouteChange route{};
    const uint8_t destination[4] = {10, 5, 45, 0};
    std::copy(destination, destination + 4, route.destination);
    std::copy(kLoopback, kLoopback + 4, route.nextHop);
    route.length = 24;
    route.hasNextHop = true;
    route.nextHopBytes = 4;
    route.port = peer.port;
    forwarder->tables().applyRoutes({route});
  }

  std::map<std::string, uint64_t> counters(Direction direction) {
    const auto* values = reinterpret_cast<const uint64_t*>(forwarder->counters() + static_cast<size_t>(direction));
    std::map<std::string, uint64_t> result;
    const auto names = counterNames();
    for (size_t i = 0; i < names.size(); i++) result[names[i]] = values[i];
    return result;
  }

  void checkBalance(Direction direction) {
    auto counts = counters(direction);
    uint64_t accounted = counts["forwarded"] + counts["answered"];
    for (const auto& [name, value] : counts) {
      if (name.starts_with("drop.")) accounted += value;
    }
    CHECK(counts["received"] == accounted);
  }
};

TEST(packetsCrossInBothDirections) {
  Bench bench;
  CHECK(bench.forwarder->start() == 0);
  for (size_t size = 0; size <= 1444; size += 7) {
    const test::Packet packet = test::makePacket(0x0a051502, 0x0a052d02, 64, 17, size);
    CHECK(send(bench.kernelSide.get(), packet.data(), packet.size(), 0) > 0);
    test::Packet datagram = receive(bench.peer.fd.get());
    CHECK(datagram.size() == packet.size() && datagram[8] == 63);
    CHECK(std::equal(packet.begin() + 12, packet.end(), datagram.begin() + 12));

    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(bench.udp.port);
    std::copy(kLoopback, kLoopback + 4, reinterpret_cast<uint8_t*>(&to.sin_addr));
    CHECK(sendto(bench.peer.fd.get(), datagram.data(), datagram.size(), 0, reinterpret_cast<sockaddr*>(&to),
                 sizeof to) > 0);
    const test::Packet back = receive(bench.kernelSide.get());
    CHECK(back.size() == packet.size() && back[8] == 62 && checksumHolds(back.data(), 20));
  }
  bench.forwarder->stop();
  bench.checkBalance(Direction::tunToUdp);
  bench.checkBalance(Direction::udpToTun);
  CHECK(bench.counters(Direction::tunToUdp)["forwarded"] == 207);
}

TEST(unroutedPacketsAreAnsweredOnTheTun) {
  Bench bench;
  CHECK(bench.forwarder->start() == 0);
  const test::Packet packet = test::makePacket(0x0a051502, 0x0a05fa09, 64, 17, 15);
  CHECK(send(bench.kernelSide.get(), packet.data(), packet.size(), 0) > 0);
  const test::Packet answer = receive(bench.kernelSide.get());
  CHECK(answer.size() == 56 && answer[20] == 3 && answer[21] == 0);
  bench.forwarder->stop();
  CHECK(bench.counters(Direction::tunToUdp)["answered"] == 1);
  bench.checkBalance(Direction::tunToUdp);
}

TEST(datagramsOfAnyLengthAreAccountedFor) {
  Bench bench;
  CHECK(bench.forwarder->start() == 0);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(bench.udp.port);
  std::copy(kLoopback, kLoopback + 4, reinterpret_cast<uint8_t*>(&to.sin_addr));
  const size_t sizes[] = {0, 1, 19, 20, 21, 1472, 65507};
  for (const size_t size : sizes) {
    const test::Packet junk(size, 0x45);
    CHECK(sendto(bench.peer.fd.get(), junk.data(), size, 0, reinterpret_cast<sockaddr*>(&to), sizeof to) >= 0);
  }
  // A good one last: when it has arrived, so have the others.
  const test::Packet good = test::makePacket(0x0a052d02, 0x0a051502, 64, 17, 5);
  CHECK(sendto(bench.peer.fd.get(), good.data(), good.size(), 0, reinterpret_cast<sockaddr*>(&to), sizeof to) > 0);
  CHECK(receive(bench.kernelSide.get()).size() == 25);
  bench.forwarder->stop();
  CHECK(bench.counters(Direction::udpToTun)["received"] == 8);
  CHECK(bench.counters(Direction::udpToTun)["drop.truncated"] == 3);
  bench.checkBalance(Direction::udpToTun);
}

TEST(stopIsPromptIdempotentAndWithoutTraffic) {
  Bench bench;
  CHECK(bench.forwarder->start() == 0);
  CHECK(bench.forwarder->start() == -EALREADY);
  bench.forwarder->stop();
  bench.forwarder->stop();
  CHECK(bench.forwarder->start() == 0);
}

}  // namespace
}  // namespace flannel0
