// SendBatch over loopback: what was added arrives, datagram by datagram, in order for each next hop.
#include "../core/send_batch.h"

#include <netinet/udp.h>

#include <map>
#include <thread>

#include "../core/udp_socket.h"
#include "check.h"
#include "generate.h"
#include "netns.h"

namespace flannel0 {
namespace {

using test::Bytes;
using test::Random;

constexpr uint8_t kLoopback[4] = {127, 0, 0, 1};
constexpr uint32_t kLongestDatagram = 65507;

Fd openSocket(uint16_t& port) {
  const char* failed = "";
  UdpSocketOptions options{kLoopback, 4, 0, false, 8 << 20, 8 << 20, true, false};
  Fd fd(openUdpSocket(options, failed));
  CHECK(fd.isOpen() && options.segmentation);
  sockaddr_in address{};
  socklen_t length = sizeof address;
  CHECK(getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &length) == 0);
  port = ntohs(address.sin_port);
  return fd;
}

std::map<std::string, uint64_t> valuesOf(const DirectionCounters& counters) {
  const auto* values = reinterpret_cast<const uint64_t*>(&counters);
  std::map<std::string, uint64_t> result;
  const auto names = counterNames();
  for (size_t i = 0; i < names.size(); i++) {
    if (values[i] != 0) result[names[i]] = values[i];
  }
  return result;
}

struct Lab {
  static constexpr size_t kPeers = 3;
  uint16_t ownPort = 0;
  Fd own = openSocket(ownPort);
  Fd peers[kPeers];
  NextHop hops[kPeers];
  std::vector<Bytes> expected[kPeers];
  std::vector<std::pair<Bytes, size_t>> added;  // stays in place until the flush
  SendBatch batch;
  DirectionCounters counters;
  std::atomic<bool> segmentation{true};
  uint64_t packets = 0;
  uint64_t bytes = 0;
  uint64_t tooLong = 0;

  Lab() {
    added.reserve(kMaxBatchPackets);
    for (size_t i = 0; i < kPeers; i++) {
      uint16_t port = 0;
      peers[i] = openSocket(port);
      hops[i] = NextHop::of(kLoopback, 4, port);
    }
  }

  // In two pieces, as a segment, or in one; the header in the batch's own memory or elsewhere.
  void add(Bytes packet, size_t peer, uint32_t headerLength) {
    added.emplace_back(std::move(packet), peer);
    const Bytes& data = added.back().first;
    const auto length = static_cast<uint32_t>(data.size());
    if (headerLength == 0 || headerLength > std::min(length, kMaxSegmentHeader)) {
      batch.add({data.data(), length, nullptr, 0}, &hops[peer], 0);
    } else {
      uint8_t* header = batch.headerSpace();
      std::copy(data.begin(), data.begin() + headerLength, header);
      batch.add({header, headerLength, data.data() + headerLength, length - headerLength}, &hops[peer], 0);
    }
    if (length > kLongestDatagram) {
      tooLong++;
      return;
    }
    expected[peer].push_back(data);
    packets++;
    bytes += length;
  }

  void flushAndCompare() {
    const int fds[] = {own.get()};
    batch.flush(fds, segmentation, counters);
    CHECK(batch.isEmpty() && batch.bytes() == 0);
    for (size_t i = 0; i < kPeers; i++) {
      for (const Bytes& each : expected[i]) {
        Bytes got(65536);
        const ssize_t length = recv(peers[i].get(), got.data(), got.size(), MSG_DONTWAIT);
        CHECK(length >= 0);
        got.resize(static_cast<size_t>(length));
        CHECK(got == each);
      }
      uint8_t rest;
      CHECK(recv(peers[i].get(), &rest, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN);
      expected[i].clear();
    }
    added.clear();
    std::map<std::string, uint64_t> wanted;
    if (packets > 0) wanted = {{"forwarded", packets}, {"forwardedBytes", bytes}};
    if (tooLong > 0) wanted["drop.sendMessageSize"] = tooLong;
    CHECK(valuesOf(counters) == wanted);
  }
};

// What a batch holds in practice and beside it: trains of one size with a shorter last one, singles, changes of the
// next hop in the middle, sizes that rise by one.
void addRun(Lab& lab, Random& random) {
  const size_t peer = random.below(Lab::kPeers);
  const uint32_t size = random.among<uint32_t>({20, 40, 1380, 1472, random.between(1, 1500), random.between(1, 9000)});
  const uint32_t count = random.among<uint32_t>({1, 2, 5, 46, 63, 64, 65, 130});
  const uint32_t headerLength = random.among<uint32_t>({0, 20, 52, 120});
  for (uint32_t i = 0; i < count && !lab.batch.isFull() && lab.batch.bytes() < 600000; i++) {
    uint32_t length = size;
    if (i + 1 == count) length = random.between(1, size);
    if (random.oneIn(30)) length = size + 1;
    lab.add(test::anyBytes(random, length), random.oneIn(40) ? random.below(Lab::kPeers) : peer, headerLength);
  }
}

void anyTraffic(bool segmentation, uint64_t stream, int rounds) {
  Lab lab;
  Random random(stream);
  lab.segmentation = segmentation;
  for (int round = 0; round < rounds; round++) {
    for (uint32_t runs = random.between(1, 8); runs > 0; runs--) addRun(lab, random);
    lab.flushAndCompare();
  }
  CHECK(lab.segmentation.load() == segmentation);
}

TEST(datagramsArriveEqualAndInOrderInTrains) { anyTraffic(true, 40, test::rounds(150)); }
TEST(datagramsArriveEqualAndInOrderOneByOne) { anyTraffic(false, 41, test::rounds(50)); }

TEST(trainsAreCutAtWhatOneSendMayCarry) {
  for (const bool segmentation : {true, false}) {
    Lab lab;
    lab.segmentation = segmentation;
    for (const auto& [count, size] : std::map<uint32_t, uint32_t>{
             {kMaxTrainPackets, 100}, {kMaxTrainPackets + 1, 100}, {kMaxBatchPackets, 20}, {46, 1424}, {47, 1424},
             {2, 32753}, {3, 32754}, {1, kLongestDatagram}, {4, kLongestDatagram}}) {
      for (uint32_t i = 0; i < count; i++) lab.add(Bytes(size, static_cast<uint8_t>(i)), 0, 40);
      lab.flushAndCompare();
    }
  }
}

TEST(whatIsTooLongIsCountedAndCostsTheOthersNothing) {
  for (const bool segmentation : {true, false}) {
    Lab lab;
    lab.segmentation = segmentation;
    for (int i = 0; i < 5; i++) {
      lab.add(Bytes(1000, 1), 0, 20);
      lab.add(Bytes(kLongestDatagram + 1, 2), 1, 20);
      lab.add(Bytes(kLongestDatagram + 1, 2), 1, 20);
      lab.add(Bytes(1000, 3), 2, 20);
    }
    lab.flushAndCompare();
    CHECK(lab.tooLong == 10);
  }
}

TEST(anEmptyBatchSendsNothing) {
  Lab lab;
  lab.flushAndCompare();
}

// Datagrams beyond the path MTU: the kernel refuses them as a train, and fragments them one by one.
TEST(trainsBeyondThePathMtuArriveNevertheless) {
  test::inNamespace(__func__, [] {
    test::Interface loopback("lo");
    loopback.setMtu(1500);
    loopback.setUp();
    Lab lab;
    Random random(42);
    for (int round = 0; round < 20; round++) {
      for (int i = 0; i < 10; i++) lab.add(test::anyBytes(random, 1473), 0, 40);
      for (int i = 0; i < 10; i++) lab.add(test::anyBytes(random, 1472), 1, 40);
      for (int i = 0; i < 3; i++) lab.add(test::anyBytes(random, 4000), 2, 40);
      lab.flushAndCompare();
    }
    CHECK(lab.segmentation.load());
  });
}

// Every packet of every train is counted, once, and the call ends.
TEST(aBadSocketDropsEverythingOnce) {
  Lab lab;
  Fd notASocket(open("/dev/null", O_RDWR | O_CLOEXEC));
  const Bytes packet(100, 7);
  for (int i = 0; i < 200; i++) lab.batch.add({packet.data(), 100, nullptr, 0}, &lab.hops[i / 50 % 3], 0);
  const int fds[] = {notASocket.get()};
  lab.batch.flush(fds, lab.segmentation, lab.counters);
  CHECK((valuesOf(lab.counters) == std::map<std::string, uint64_t>{{"drop.sendFailed", 200}}));
}

// A peer whose port is closed answers every datagram with ICMP port unreachable, which the kernel hands to the next
// send, whomever it is for. The others must not lose a datagram by it, with trains and without.
TEST(aDeadPeerCostsTheOthersNothing) {
  for (const bool segmentation : {true, false}) {
    Lab lab;
    lab.segmentation = segmentation;
    lab.peers[1].reset();
    Random random(test::seed());
    uint64_t toDead = 0;
    for (int round = 0; round < 50; round++) {
      for (int i = 0; i < 60; i++) {
        const size_t peer = random.below(Lab::kPeers);
        lab.add(test::anyBytes(random, random.oneIn(3) ? 200 : 1000), peer, 40);
        if (peer != 1) continue;
        toDead++;
        lab.expected[1].clear();
      }
      const int fds[] = {lab.own.get()};
      lab.batch.flush(fds, lab.segmentation, lab.counters);
      for (const size_t good : {size_t{0}, size_t{2}}) {
        for (const Bytes& each : lab.expected[good]) {
          Bytes got(2000);
          const ssize_t length = recv(lab.peers[good].get(), got.data(), got.size(), MSG_DONTWAIT);
          CHECK(length == static_cast<ssize_t>(each.size()) && std::equal(each.begin(), each.end(), got.begin()));
        }
        lab.expected[good].clear();
      }
      lab.added.clear();
    }
    auto values = valuesOf(lab.counters);
    CHECK(toDead > 0 && values["peerErrors"] > 0);
    // What was not forwarded was for the dead peer.
    CHECK(values["forwarded"] + values["drop.sendFailed"] == lab.packets);
    CHECK(values["drop.sendFailed"] <= toDead);
  }
}

// The same where errors come at any moment, also between taking them off and sending again: a forging peer's ICMP does.
// Another thread brings them about on the same socket.
TEST(errorsThatKeepComingCostTheOthersNothing) {
  for (const bool segmentation : {true, false}) {
    Lab lab;
    lab.segmentation = segmentation;
    lab.peers[1].reset();
    const NextHop dead = lab.hops[1];
    std::atomic<bool> done{false};
    std::thread forger([&] {
      const uint8_t byte = 0;
      while (!done.load(std::memory_order_relaxed)) {
        sendto(lab.own.get(), &byte, 1, MSG_DONTWAIT, &dead.address.base, dead.addressLength);
      }
    });
    uint64_t packets = 0;
    const Bytes packet(200, 7);
    for (int round = 0; round < test::rounds(3000); round++) {
      for (const size_t peer : {size_t{0}, size_t{2}}) {
        for (int i = 0; i < 3; i++, packets++) lab.batch.add({packet.data(), 200, nullptr, 0}, &lab.hops[peer], 0);
      }
      const int fds[] = {lab.own.get()};
      lab.batch.flush(fds, lab.segmentation, lab.counters);
      uint8_t rest[200];
      for (const size_t peer : {size_t{0}, size_t{2}}) {
        while (recv(lab.peers[peer].get(), rest, sizeof rest, MSG_DONTWAIT) >= 0) continue;
      }
    }
    done = true;
    forger.join();
    auto values = valuesOf(lab.counters);
    CHECK(values["peerErrors"] > 0 && values["forwarded"] + values["drop.sendFailed"] == packets);
    // With one more try alone it is 10 to 30 of 1000.
    CHECK(values["drop.sendFailed"] <= packets / 1000);
  }
}

TEST(flowsLeaveByTheSocketTheyWereGiven) {
  Lab lab;
  uint16_t ports[3];
  const Fd sockets[3] = {openSocket(ports[0]), openSocket(ports[1]), openSocket(ports[2])};
  const int fds[3] = {sockets[0].get(), sockets[1].get(), sockets[2].get()};
  Random random(test::seed());
  std::vector<Bytes> packets;
  for (uint32_t i = 0; i < kMaxBatchPackets; i++) packets.push_back(test::anyBytes(random, 100));
  std::vector<uint16_t> wanted;
  for (const Bytes& packet : packets) {
    const auto socket = static_cast<uint32_t>(random.below(3));
    wanted.push_back(ports[socket]);
    lab.batch.add({packet.data(), 100, nullptr, 0}, &lab.hops[0], socket);
  }
  lab.batch.flush(fds, lab.segmentation, lab.counters);
  for (uint32_t i = 0; i < kMaxBatchPackets; i++) {
    Bytes got(100);
    sockaddr_in from{};
    socklen_t length = sizeof from;
    CHECK(recvfrom(lab.peers[0].get(), got.data(), 100, MSG_DONTWAIT, reinterpret_cast<sockaddr*>(&from), &length) == 100);
    CHECK(got == packets[i] && ntohs(from.sin_port) == wanted[i]);
  }
}

}  // namespace
}  // namespace flannel0
