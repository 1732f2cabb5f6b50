// One turn of the path from the TUN, without threads: what ends it, what does not, and how long it may last.
#include <arpa/inet.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "../core/fd.h"
#include "../core/tun_to_udp_path.h"
#include "../core/udp_socket.h"
#include "check.h"
#include "packets.h"
#include "streams.h"

namespace flannel0 {
namespace {

constexpr uint8_t kLoopback[4] = {127, 0, 0, 1};

// A path whose TUN is any descriptor, with a route for 10.5.45.0/24.
struct Bench {
  Fd udp;
  Tables tables{1};
  std::atomic<bool> segmentation{true};
  DirectionCounters counters;
  PathIo io{};
  std::unique_ptr<TunToUdpPath> path;

  Bench(int tunFd, bool vnetHeader) {
    const char* failed = "";
    UdpSocketOptions options{kLoopback, 4, 0, false, 1 << 20, 1 << 20, true, false};
    udp = Fd(openUdpSocket(options, failed));
    CHECK(udp.isOpen());
    io.tunFd = tunFd;
    io.udpFds = {udp.get()};
    io.deviceAddress = {10, 5, 21, 0};
    io.tables = &tables;
    io.domain = &tables.domain();
    io.tun.vnetHeader = vnetHeader;
    io.udpSegmentation = &segmentation;
    RouteChange route{};
    const uint8_t destination[4] = {10, 5, 45, 0};
    std::copy(destination, destination + 4, route.destination);
    std::copy(kLoopback, kLoopback + 4, route.nextHop);
    route.length = 24;
    route.hasNextHop = true;
    route.nextHopBytes = 4;
    route.port = 9;
    tables.applyRoutes({route});
    path = std::make_unique<TunToUdpPath>(io, counters);
    CHECK(path->isMapped());
  }

  uint64_t value(const std::string& name) const {
    const auto names = counterNames();
    const auto at = std::find(names.begin(), names.end(), name);
    CHECK(at != names.end());
    return reinterpret_cast<const uint64_t*>(&counters)[at - names.begin()];
  }
};

sockaddr_in boundAddress(int fd) {
  sockaddr_in address{};
  socklen_t length = sizeof address;
  CHECK(getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length) == 0);
  return address;
}

Fd openAt(sockaddr_in address) {
  Fd fd(socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  CHECK(fd.isOpen() && bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  return fd;
}

// The kernel takes a packet off the queue, cannot describe it (EINVAL, "unexpected GSO type") and throws it away. A
// connected UDP socket stands for the TUN: its pending error fails one read, and the packets behind it are good.
TEST(aPacketThatTheKernelCannotHandOverCostsNoMoreThanItself) {
  sockaddr_in loopback{};
  loopback.sin_family = AF_INET;
  std::copy(kLoopback, kLoopback + 4, reinterpret_cast<uint8_t*>(&loopback.sin_addr));
  const Fd tun = openAt(loopback);
  Fd kernel = openAt(loopback);
  const sockaddr_in kernelAddress = boundAddress(kernel.get());
  const sockaddr_in tunAddress = boundAddress(tun.get());
  CHECK(connect(tun.get(), reinterpret_cast<const sockaddr*>(&kernelAddress), sizeof kernelAddress) == 0);
  kernel.reset();
  CHECK(send(tun.get(), "x", 1, 0) == 1);
  kernel = openAt(kernelAddress);
  const test::Packet packet = test::makePacket(0x0a051502, 0x0a052d02, 64, 17, 100);
  for (int i = 0; i < 3; i++) {
    CHECK(sendto(kernel.get(), packet.data(), packet.size(), 0, reinterpret_cast<const sockaddr*>(&tunAddress),
                 sizeof tunAddress) > 0);
  }
  Bench bench(tun.get(), false);
  const PumpResult result = bench.path->pump();
  CHECK(result.failed == nullptr && result.isDone);
  CHECK(bench.value("received") == 4 && bench.value("drop.badOffload") == 1);
}

// Nothing but errors: that is no TUN any more, and to go on would spin. An epoll descriptor fails every read (EINVAL).
TEST(aTunThatFailsEveryReadEndsTheWorker) {
  const Fd never(epoll_create1(EPOLL_CLOEXEC));
  Bench bench(never.get(), false);
  const PumpResult result = bench.path->pump();
  CHECK(result.failed != nullptr && result.error == EINVAL);
}

TEST(aClosedTunEndsTheWorkerAtOnce) {
  Bench bench(-1, false);
  const PumpResult result = bench.path->pump();
  CHECK(result.failed != nullptr && result.error == EBADF && bench.value("received") == 0);
}

// A container may agree on segments of 48 bytes (TCP_MIN_SND_MSS): 64 super-packets are then 87,000 packets, and the
// other direction would wait for all of them.
TEST(aTurnOfTinySegmentsIsBounded) {
  int pair[2];
  CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0);
  const Fd kernel(pair[0]);
  const Fd tun(pair[1]);
  const int buffer = 8 << 20;
  CHECK(setsockopt(kernel.get(), SOL_SOCKET, SO_SNDBUFFORCE, &buffer, sizeof buffer) == 0);
  test::Random random(80);
  test::Fields super = test::anyHeaders(random);
  super.isTcp = true;
  super.source = 0x0a051502;
  super.destination = 0x0a052d02;
  super.ttl = 64;
  super.payload = test::anyBytes(random, 48 * 1000);
  const VnetHeader vnet{VnetHeader::kNeedsChecksum, VnetHeader::kGsoTcp4, 0, 48, 0, 0};
  test::Bytes frame(kVnetHeaderBytes);
  std::memcpy(frame.data(), &vnet, kVnetHeaderBytes);
  const test::Bytes packet = test::encodePartial(super);
  frame.insert(frame.end(), packet.begin(), packet.end());
  constexpr uint64_t kSupers = 20;
  for (uint64_t i = 0; i < kSupers; i++) {
    CHECK(send(kernel.get(), frame.data(), frame.size(), 0) == static_cast<ssize_t>(frame.size()));
  }
  Bench bench(tun.get(), true);
  PumpResult result = bench.path->pump();
  CHECK(!result.isDone && bench.value("received") >= 1000 && bench.value("received") < kMaxTurnPackets + 1000);
  while (!result.isDone) result = bench.path->pump();
  CHECK(bench.value("received") == kSupers * 1000);
}

}  // namespace
}  // namespace flannel0
