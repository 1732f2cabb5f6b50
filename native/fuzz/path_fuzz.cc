// Both paths as a worker runs them, system calls and all: frames from the TUN, datagrams from a peer. A socket pair
// stands for the TUN, loopback for the wire. Input: options, then pieces.
//
//   options 1  pieces are datagrams from the wire, else frames from the TUN
//           2  without a virtio_net_hdr          4  without UDP_SEGMENT
#include <sys/socket.h>

#include "../core/fd.h"
#include "../core/icmp.h"
#include "../core/tun_to_udp_path.h"
#include "../core/udp_socket.h"
#include "../core/udp_to_tun_path.h"
#include "../test/check.h"
#include "input.h"

using namespace flannel0;

namespace {

constexpr uint8_t kFromWire = 1;
constexpr uint8_t kNoVnetHeader = 2;
constexpr uint8_t kNoSegmentation = 4;
constexpr uint8_t kLoopback[4] = {127, 0, 0, 1};
// Fewer than the socket pair and one pump take.
constexpr size_t kMaxPieces = 30;

Fd openSocket(bool coalescing, NextHop& address) {
  const char* failed = "";
  UdpSocketOptions options{kLoopback, 4, 0, false, 8 << 20, 8 << 20, true, coalescing};
  Fd fd(openUdpSocket(options, failed));
  CHECK(fd.isOpen());
  sockaddr_in bound{};
  socklen_t length = sizeof bound;
  CHECK(getsockname(fd.get(), reinterpret_cast<sockaddr*>(&bound), &length) == 0);
  address = NextHop::of(kLoopback, 4, ntohs(bound.sin_port));
  return fd;
}

// The surroundings of both paths; made once per set of options, because mapping their memory takes long.
struct World {
  Fd kernel;
  Fd tun;
  NextHop ownAddress;
  NextHop peerAddress;
  Fd own = openSocket(true, ownAddress);
  Fd peer = openSocket(false, peerAddress);
  Tables tables{1};
  std::atomic<bool> segmentation{true};
  DirectionCounters counters[kDirections];
  PathIo io{};
  std::unique_ptr<TunToUdpPath> tunToUdp;
  std::unique_ptr<UdpToTunPath> udpToTun;

  explicit World(bool vnetHeader) {
    int pair[2];
    CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0);
    kernel = Fd(pair[0]);
    tun = Fd(pair[1]);
    const int bufferBytes = 8 << 20;
    for (const int fd : pair) CHECK(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bufferBytes, sizeof bufferBytes) == 0);
    RouteChange route{};  // the half of all addresses that begins with a 0 bit
    route.length = 1;
    route.hasNextHop = true;
    std::copy(kLoopback, kLoopback + 4, route.nextHop);
    route.nextHopBytes = 4;
    route.port = peerAddress.port();
    tables.applyRoutes({route});
    const TunOffloads offloads{vnetHeader, vnetHeader, vnetHeader, vnetHeader};
    io = {0, tun.get(), {own.get()}, {10, 5, 21, 0}, &tables, &tables.domain(), offloads, &segmentation, true};
    tunToUdp = std::make_unique<TunToUdpPath>(io, counters[0]);
    udpToTun = std::make_unique<UdpToTunPath>(io, counters[1]);
  }

  uint64_t value(Direction direction, size_t index) const {
    return reinterpret_cast<const uint64_t*>(&counters[static_cast<size_t>(direction)])[index];
  }

  void checkBalance(Direction direction) const {
    uint64_t accounted = value(direction, static_cast<size_t>(Counter::forwarded)) +
                         value(direction, static_cast<size_t>(Counter::answered));
    for (size_t i = kPlainCounters; i < kCountersPerDirection; i++) accounted += value(direction, i);
    CHECK(value(direction, static_cast<size_t>(Counter::received)) == accounted);
  }
};

// Takes out everything that waits; each piece is checked by `each`.
template <typename Each>
size_t drain(int fd, Each each) {
  static test::Bytes buffer(70000);
  size_t count = 0;
  for (;; count++) {
    const ssize_t got = recv(fd, buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (got < 0) return count;
    each(test::Bytes(buffer.begin(), buffer.begin() + got));
  }
}

void checkPacket(test::Bytes packet) {
  CHECK(checkIpv4(packet.data(), static_cast<uint32_t>(packet.size())) == DropReason::none);
  CHECK(test::get16(packet, 2) == packet.size());
}

void fromTun(World& world, fuzz::Input& input) {
  size_t frames = 0;
  for (; !input.isEmpty() && frames < kMaxPieces; frames++) {
    const test::Bytes frame = input.piece();
    // An empty message is the end of a socket pair, which no TUN has.
    if (frame.empty()) break;
    CHECK(send(world.kernel.get(), frame.data(), frame.size(), 0) >= 0);
  }
  size_t reads = 0;
  // Each turn reads one frame at least, but for the last one, which may find nothing.
  for (size_t turns = 0; turns <= frames; turns++) {
    const PumpResult result = world.tunToUdp->pump();
    CHECK(result.failed == nullptr);
    reads += result.packets;
    if (result.isDone) break;
  }
  CHECK(reads == frames);
  world.checkBalance(Direction::tunToUdp);
  drain(world.peer.get(), checkPacket);
  const size_t front = world.io.tun.vnetHeader ? kVnetHeaderBytes : 0;
  const size_t answers = drain(world.kernel.get(), [&](const test::Bytes& answer) {
    CHECK(answer.size() <= front + kMaxIcmpAnswer);
    checkPacket(test::Bytes(answer.begin() + static_cast<long>(front), answer.end()));
  });
  CHECK(answers <= frames);
}

void fromWire(World& world, fuzz::Input& input) {
  std::vector<test::Bytes> datagrams;
  SendBatch batch;
  while (!input.isEmpty() && datagrams.size() < kMaxPieces) datagrams.push_back(input.piece());
  DirectionCounters sent;
  std::atomic<bool> segmentation{true};
  uint64_t bytes = 0;
  for (const test::Bytes& each : datagrams) {
    batch.add({each.data(), static_cast<uint32_t>(each.size()), nullptr, 0}, &world.ownAddress, 0);
    bytes += each.size();
  }
  const int fds[] = {world.peer.get()};
  batch.flush(fds, segmentation, sent);
  while (!world.udpToTun->pump().isDone) continue;
  world.checkBalance(Direction::udpToTun);
  const size_t front = world.io.tun.vnetHeader ? kVnetHeaderBytes : 0;
  uint64_t written = 0;
  const size_t frames = drain(world.kernel.get(), [&](const test::Bytes& frame) {
    CHECK(frame.size() >= front + kIpv4MinHeader);
    checkPacket(test::Bytes(frame.begin() + static_cast<long>(front), frame.end()));
    written += frame.size() - front;
  });
  CHECK(frames <= datagrams.size() && written <= bytes);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static World* worlds[2] = {new World(true), new World(false)};
  fuzz::Input input(data, size);
  const uint8_t options = input.byte();
  World& world = *worlds[(options & kNoVnetHeader) != 0 ? 1 : 0];
  world.segmentation = (options & kNoSegmentation) == 0;
  if ((options & kFromWire) != 0) fromWire(world, input);
  else fromTun(world, input);
  return 0;
}
