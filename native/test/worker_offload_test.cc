// Workers with offloads, and their threads under ThreadSanitizer: a socket pair stands for each TUN queue and carries
// frames as the device does, a virtio_net_hdr and a packet or super-packet each.
#include <poll.h>

#include <atomic>
#include <thread>

#include "../core/forwarder.h"
#include "../core/udp_socket.h"
#include "coalesce_model.h"
#include "streams.h"

namespace flannel0 {
namespace {

using test::Bytes;
using test::Fields;
using test::Random;

constexpr uint8_t kLoopback[4] = {127, 0, 0, 1};
constexpr size_t kWorkers = 2;

Bytes receive(int fd) {
  pollfd waiting{fd, POLLIN, 0};
  // The deadline only turns a defect into a failure.
  CHECK(poll(&waiting, 1, 30000) == 1);
  Bytes packet(70000);
  const ssize_t got = recv(fd, packet.data(), packet.size(), 0);
  CHECK(got >= 0);
  packet.resize(static_cast<size_t>(got));
  return packet;
}

struct Socket {
  Fd fd;
  NextHop address;

  explicit Socket(bool coalescing) {
    const char* failed = "";
    UdpSocketOptions options{kLoopback, 4, 0, false, 8 << 20, 8 << 20, true, coalescing};
    fd = Fd(openUdpSocket(options, failed));
    CHECK(fd.isOpen() && options.coalescing == coalescing);
    sockaddr_in bound{};
    socklen_t length = sizeof bound;
    CHECK(getsockname(fd.get(), reinterpret_cast<sockaddr*>(&bound), &length) == 0);
    address = NextHop::of(kLoopback, 4, ntohs(bound.sin_port));
  }
};

// One worker's surroundings: the kernel's end of its TUN queue, its socket, and a peer.
struct Lane {
  Fd kernel;
  Fd tun;
  Socket udp{true};
  Socket peer{false};

  Lane() {
    int pair[2];
    CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0);
    kernel = Fd(pair[0]);
    tun = Fd(pair[1]);
  }

  void writeFrame(const VnetHeader& vnet, const Bytes& packet) const {
    Bytes frame(kVnetHeaderBytes);
    std::memcpy(frame.data(), &vnet, kVnetHeaderBytes);
    frame.insert(frame.end(), packet.begin(), packet.end());
    pollfd waiting{kernel.get(), POLLOUT, 0};
    CHECK(poll(&waiting, 1, 30000) == 1);
    CHECK(send(kernel.get(), frame.data(), frame.size(), 0) == static_cast<ssize_t>(frame.size()));
  }
};

struct Bench {
  Lane lanes[kWorkers];
  std::unique_ptr<Forwarder> forwarder;

  explicit Bench(uint32_t pollMicroseconds) {
    ForwarderOptions options{};
    for (Lane& lane : lanes) {
      options.tunFds.push_back(lane.tun.get());
      options.udpFds.push_back({lane.udp.fd.get()});
    }
    options.tun = {true, true, true, true};
    options.udpSegmentation = true;
    options.udpCoalescing = true;
    options.pollMicroseconds = pollMicroseconds;
    options.deviceAddress = {10, 77, 1, 0};
    options.onEvent = [](WorkerEvent) { CHECK(false); };
    forwarder = std::make_unique<Forwarder>(std::move(options));
    for (size_t i = 0; i < kWorkers; i++) setRoute(i, true);
    CHECK(forwarder->start() == 0);
  }

  // 10.77.(2 + lane).0/24 leads to the lane's peer.
  void setRoute(size_t lane, bool present) {
    const NextHop& hop = lanes[lane].peer.address;
    RouteChange change{};
    const uint8_t destination[4] = {10, 77, static_cast<uint8_t>(2 + lane), 0};
    std::copy(destination, destination + 4, change.destination);
    change.length = 24;
    change.hasNextHop = present;
    std::copy(kLoopback, kLoopback + 4, change.nextHop);
    change.nextHopBytes = 4;
    change.port = hop.port();
    forwarder->tables().applyRoutes({change});
  }

  void checkBalance(Direction direction) {
    const auto names = counterNames();
    for (size_t lane = 0; lane < kWorkers; lane++) {
      const auto* values = reinterpret_cast<const uint64_t*>(forwarder->counters() + lane * kDirections +
                                                             static_cast<size_t>(direction));
      uint64_t accounted = 0;
      for (size_t i = 0; i < names.size(); i++) {
        if (names[i] == "forwarded" || names[i] == "answered" || names[i].starts_with("drop.")) accounted += values[i];
      }
      CHECK(values[static_cast<size_t>(Counter::received)] == accounted);
    }
  }

  // Nothing was dropped: as many packets and bytes left as came, counted as they are on the wire.
  void checkAllForwarded(Direction direction) {
    for (size_t lane = 0; lane < kWorkers; lane++) {
      const auto* values = reinterpret_cast<const uint64_t*>(forwarder->counters() + lane * kDirections +
                                                             static_cast<size_t>(direction));
      const auto value = [&](Counter counter) { return values[static_cast<size_t>(counter)]; };
      CHECK(value(Counter::received) > 0 && value(Counter::forwarded) == value(Counter::received));
      CHECK(value(Counter::forwardedBytes) == value(Counter::receivedBytes));
    }
  }
};

Bytes onward(Bytes packet) {
  packet[8]--;
  test::sealIpHeader(packet);
  return packet;
}

Fields anySuper(Random& random, size_t lane) {
  Fields fields = test::anyHeaders(random);
  fields.destination = 0x0a4d0202 + (static_cast<uint32_t>(lane) << 8);
  fields.source = 0x0a4d0102;
  fields.ttl = static_cast<uint8_t>(random.between(3, 255));
  fields.payload = test::anyBytes(random, random.oneIn(4) ? 65535 - fields.headerLength() : random.between(1, 20000));
  return fields;
}

// Super-packets of one lane reach its peer as the oracle's segments.
void sendSuperPackets(const Lane& lane, size_t number, int rounds) {
  Random random(50 + number);
  for (int round = 0; round < rounds; round++) {
    Fields super = anySuper(random, number);
    const uint32_t gsoSize = random.between(500, 1448);
    VnetHeader vnet{VnetHeader::kNeedsChecksum,
                    super.isTcp ? VnetHeader::kGsoTcp4 : VnetHeader::kGsoUdpL4,
                    static_cast<uint16_t>(super.headerLength()),
                    static_cast<uint16_t>(gsoSize),
                    static_cast<uint16_t>(super.transportOffset()),
                    static_cast<uint16_t>(super.isTcp ? 16 : 6)};
    lane.writeFrame(vnet, test::encodePartial(super));
    super.ttl--;
    for (const Bytes& segment : test::referenceSegments(super, gsoSize)) CHECK(receive(lane.peer.fd.get()) == segment);
  }
}

// The packets that a frame from the TUN stands for.
std::vector<Bytes> packetsOf(const Bytes& frame) {
  VnetHeader vnet;
  CHECK(frame.size() > kVnetHeaderBytes);
  std::memcpy(&vnet, frame.data(), kVnetHeaderBytes);
  Bytes packet(frame.begin() + kVnetHeaderBytes, frame.end());
  if (vnet.gsoKind() == VnetHeader::kGsoNone) {
    CHECK(!vnet.needsChecksum());
    return {packet};
  }
  const auto fields = test::decode(packet);
  CHECK(fields && test::encodePartial(*fields) == packet);
  return fields ? test::referenceSegments(*fields, vnet.gsoSize) : std::vector<Bytes>{};
}

// Trains of datagrams from a peer reach its lane's TUN, joined or not, as the same packets in the same order.
void receiveTrains(const Lane& lane, size_t number, int rounds) {
  Random random(60 + number);
  std::atomic<bool> segmentation{true};
  DirectionCounters counters;
  SendBatch batch;
  uint64_t joined = 0;
  for (int round = 0; round < rounds; round++) {
    Fields fields = anySuper(random, number);
    if (fields.isTcp) fields.flags = test::kAck;
    const uint32_t segmentBytes = random.between(1, 1400);
    std::vector<Bytes> train;
    for (uint32_t i = random.between(1, 60); i > 0; i--) {
      fields.payload = test::anyBytes(random, i == 1 ? random.between(1, segmentBytes) : segmentBytes);
      train.push_back(test::encode(fields));
      fields.sequence += static_cast<uint32_t>(fields.payload.size());
      fields.id++;
    }
    for (const Bytes& each : train) {
      batch.add({each.data(), static_cast<uint32_t>(each.size()), nullptr, 0}, &lane.udp.address, 0);
    }
    const int fds[] = {lane.peer.fd.get()};
    batch.flush(fds, segmentation, counters);
    for (size_t i = 0; i < train.size();) {
      const std::vector<Bytes> got = packetsOf(receive(lane.kernel.get()));
      joined += got.size() - 1;
      for (const Bytes& packet : got) {
        CHECK(i < train.size());
        CHECK(test::canonical(packet) == test::canonical(onward(train[i++])));
      }
    }
  }
  CHECK(joined > 0);
}

void bothWaysAtOnce(uint32_t pollMicroseconds) {
  const int count = test::rounds(60);
  Bench bench(pollMicroseconds);
  std::atomic<bool> done{false};
  // The control plane meanwhile: routes that come and go, and counters that are read.
  std::thread control([&] {
    RouteChange change{};
    change.destination[0] = 10;
    change.length = 16;
    change.nextHopBytes = 4;
    change.port = 9;
    for (uint8_t i = 0; !done.load(); i++) {
      change.destination[1] = static_cast<uint8_t>(i / 2);
      change.hasNextHop = i % 2 == 0 && i / 2 != 77;
      bench.forwarder->tables().applyRoutes({change});
      bench.forwarder->tables().setLocalAddresses({{192, 168, 0, i}});
      CHECK(bench.forwarder->usesUdpSegmentation());
      std::this_thread::yield();
    }
  });
  std::vector<std::thread> threads;
  for (size_t i = 0; i < kWorkers; i++) {
    threads.emplace_back([&, i] { sendSuperPackets(bench.lanes[i], i, count); });
    threads.emplace_back([&, i] { receiveTrains(bench.lanes[i], i, count); });
  }
  for (std::thread& thread : threads) thread.join();
  done = true;
  control.join();
  bench.forwarder->stop();
  for (const Direction direction : {Direction::tunToUdp, Direction::udpToTun}) {
    bench.checkBalance(direction);
    bench.checkAllForwarded(direction);
  }
}

TEST(superPacketsCrossBothWaysAtOnce) { bothWaysAtOnce(0); }
TEST(superPacketsCrossBothWaysAtOnceWhilePolling) { bothWaysAtOnce(50); }

// An unrouted super-packet is answered once, quoting a packet that could have been on a wire.
TEST(anUnroutedSuperPacketIsAnsweredOnce) {
  Bench bench(0);
  Random random(70);
  Fields super = anySuper(random, 0);
  super.isTcp = true;
  super.destination = 0x0a050505;
  super.payload = test::anyBytes(random, 5000);
  VnetHeader vnet{VnetHeader::kNeedsChecksum, VnetHeader::kGsoTcp4, 0, 1000, 0, 0};
  bench.lanes[0].writeFrame(vnet, test::encodePartial(super));
  const Bytes frame = receive(bench.lanes[0].kernel.get());
  const Bytes answer(frame.begin() + kVnetHeaderBytes, frame.end());
  const Bytes first = test::referenceSegments(super, 1000)[0];
  CHECK(answer[9] == 1 && answer[20] == 3 && answer[21] == 0);
  CHECK(answer.size() == 28 + super.transportOffset() + 8);
  CHECK(std::equal(answer.begin() + 28, answer.end(), first.begin()));
  bench.forwarder->stop();
  bench.checkBalance(Direction::tunToUdp);
  uint8_t rest;
  CHECK(recv(bench.lanes[0].kernel.get(), &rest, 1, 0) < 0);
}

// Frames that lie, mixed with good ones: every one is accounted for, and the good ones arrive.
TEST(lyingFramesAreDroppedAndCounted) {
  Bench bench(0);
  Random random(71);
  const Lane& lane = bench.lanes[0];
  for (int round = 0; round < test::rounds(300); round++) {
    Fields fields = anySuper(random, 0);
    fields.destination = 0x0a090909;  // nowhere: whatever becomes of it, nothing is sent
    fields.payload = test::anyBytes(random, random.below(3000));
    Bytes packet = test::encodePartial(fields);
    packet.resize(random.oneIn(3) ? random.below(80) : packet.size());
    VnetHeader vnet{random.byte(), random.oneIn(2) ? uint8_t{1} : random.byte(), random.half(), random.half(),
                    random.half(), random.half()};
    lane.writeFrame(vnet, packet);
    uint8_t answer[200];
    while (recv(lane.kernel.get(), answer, sizeof answer, 0) > 0) continue;
  }
  Fields good = anySuper(random, 0);
  good.payload = test::anyBytes(random, 100);
  lane.writeFrame({}, test::encode(good));
  CHECK(receive(lane.peer.fd.get()) == onward(test::encode(good)));
  bench.forwarder->stop();
  bench.checkBalance(Direction::tunToUdp);
}

}  // namespace
}  // namespace flannel0
