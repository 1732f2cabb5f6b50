// Micro-benchmarks of the core, one line each: what a packet costs in our own code, without the kernel. The lookup is
// compared with a sorted array of disjoint ranges and binary search, the plain way to match prefixes.
//
//   make -C native bench && native/build/micro
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <random>
#include <vector>

#include "../core/coalesce.h"
#include "../core/segment.h"
#include "../core/tables.h"
#include "../core/transport.h"
#include "../test/packets.h"

namespace flannel0 {
namespace {

using Clock = std::chrono::steady_clock;

// Keeps the compiler from dropping work whose result nobody reads.
template <class T>
void keep(const T& value) {
  asm volatile("" : : "g"(&value) : "memory");
}

// Nanoseconds of one call: the median of several batches, each long enough for the clock.
double nanoseconds(const std::function<void()>& call, int calls) {
  std::vector<double> batches;
  for (int batch = 0; batch < 9; batch++) {
    const auto start = Clock::now();
    for (int i = 0; i < calls; i++) call();
    batches.push_back(std::chrono::duration<double, std::nano>(Clock::now() - start).count() / calls);
  }
  std::nth_element(batches.begin(), batches.begin() + 4, batches.end());
  return batches[4];
}

void report(const char* name, double value, const char* unit) { std::printf("%-44s %10.1f %s\n", name, value, unit); }

test::Packet tcpPacket(size_t payload, uint32_t sequence, uint16_t id) {
  test::Packet packet = test::makePacket(0x0a051502, 0x0a052d02, 62, kProtocolTcp, 32 + payload);
  uint8_t* tcp = packet.data() + 20;
  std::memset(tcp, 0, 32);
  tcp[12] = 8 << 4;
  tcp[13] = kTcpAck;
  store32(tcp + 4, sequence);
  Ipv4{packet.data()}.store16(4, id);
  Ipv4{packet.data()}.store16(6, 0x4000);
  packet[10] = packet[11] = 0;
  const uint16_t ipSum = internetChecksum(packet.data(), 20);
  std::memcpy(&packet[10], &ipSum, 2);
  const auto length = static_cast<uint32_t>(packet.size() - 20);
  const auto sum = static_cast<uint16_t>(~onesComplementSum(tcp, length, pseudoHeaderSum(packet.data(), length)));
  std::memcpy(tcp + kTcpChecksumOffset, &sum, 2);
  return packet;
}

void benchChecksum() {
  const test::Packet packet(1448, 7);
  report("checksum of 1448 bytes", nanoseconds([&] { keep(onesComplementSum(packet.data(), 1448)); }, 100000), "ns");
}

void benchSegment() {
  const test::Packet super = tcpPacket(45 * 1420, 1, 1);
  const VnetHeader vnet{VnetHeader::kNeedsChecksum, VnetHeader::kGsoTcp4, 52, 1420, 20, kTcpChecksumOffset};
  const auto run = [&] {
    Segmenter segments;
    if (segments.begin(super.data(), static_cast<uint32_t>(super.size()), vnet) != DropReason::none) std::abort();
    uint8_t header[kMaxSegmentHeader];
    PacketPieces segment;
    while (segments.next(header, segment)) keep(segment);
  };
  report("segment, per packet of 1472 bytes", nanoseconds(run, 2000) / 45, "ns");
}

void benchCoalesce() {
  std::vector<test::Packet> packets;
  for (uint32_t i = 0; i < 45; i++) packets.push_back(tcpPacket(1420, i * 1420, static_cast<uint16_t>(i)));
  std::vector<test::Packet> fresh = packets;
  auto coalescer = std::make_unique<Coalescer>(true, true);
  const auto run = [&] {
    for (test::Packet& packet : fresh) coalescer->add(packet.data(), static_cast<uint32_t>(packet.size()));
    if (coalescer->itemCount() != 1) std::abort();
    coalescer->finish();
    coalescer->clear();
    // finish() rewrote the first packet's headers.
    std::copy_n(packets[0].begin(), 52, fresh[0].begin());
  };
  report("coalesce, per packet of 1472 bytes", nanoseconds(run, 2000) / 45, "ns");
}

struct Addresses {
  std::vector<uint8_t> bytes;
  const uint8_t* at(size_t index) const { return &bytes[index * 4]; }
};

// `count` routes of /24 to /28 inside 10.0.0.0/8, like the leases of a very large network.
std::vector<RouteChange> makeRoutes(size_t count, std::mt19937_64& random) {
  std::vector<RouteChange> routes;
  for (size_t i = 0; i < count; i++) {
    const uint32_t length = 24 + static_cast<uint32_t>(random() % 5);
    const uint32_t base = (0x0a000000 | (random() & 0xffffff)) & (~uint32_t{0} << (32 - length));
    RouteChange route{};
    store32(route.destination, base);
    route.length = static_cast<uint8_t>(length);
    route.hasNextHop = true;
    store32(route.nextHop, 0xac100000 + static_cast<uint32_t>(i));
    route.nextHopBytes = 4;
    route.port = 8285;
    routes.push_back(route);
  }
  return routes;
}

Addresses makeAddresses(const std::vector<RouteChange>& routes, size_t count, std::mt19937_64& random) {
  Addresses addresses;
  for (size_t i = 0; i < count; i++) {
    const uint32_t base = load32(routes[random() % routes.size()].destination);
    uint8_t bytes[4];
    store32(bytes, base | static_cast<uint32_t>(random() % 16));
    addresses.bytes.insert(addresses.bytes.end(), bytes, bytes + 4);
  }
  return addresses;
}

// The baseline: where each range of equal answers starts, sorted.
struct SortedRanges {
  std::vector<uint32_t> starts;
  std::vector<const NextHop*> hops;

  SortedRanges(const std::vector<RouteChange>& routes, const Tables& tables) {
    starts.push_back(0);
    for (const RouteChange& route : routes) {
      starts.push_back(load32(route.destination));
      starts.push_back(load32(route.destination) + (uint32_t{1} << (32 - route.length)));
    }
    std::sort(starts.begin(), starts.end());
    starts.erase(std::unique(starts.begin(), starts.end()), starts.end());
    for (const uint32_t start : starts) {
      uint8_t bytes[4];
      store32(bytes, start);
      hops.push_back(tables.route(bytes));
    }
  }
  const NextHop* lookup(const uint8_t* address) const {
    const auto after = std::upper_bound(starts.begin(), starts.end(), load32(address));
    return hops[static_cast<size_t>(after - starts.begin()) - 1];
  }
};

// Latency: each lookup waits for the one before, whose answer chooses the address.
template <class Lookup>
double latencyNanoseconds(const Addresses& addresses, size_t mask, Lookup lookup) {
  size_t next = 0;
  return nanoseconds(
      [&] {
        const void* found = lookup(addresses.at(next & mask));
        next = (next * 5 + 1) + (found == nullptr ? 1 : 0);
        keep(next);
      },
      200000);
}

// Throughput: lookups that do not wait for each other, as those of the packets of a batch. With as many destinations as
// there are routes and more, hardly any finds its nodes in the near caches: this is the cold case.
template <class Lookup>
double throughputNanoseconds(const Addresses& addresses, size_t mask, Lookup lookup) {
  size_t next = 0;
  return nanoseconds(
      [&] {
        keep(lookup(addresses.at(next & mask)));
        next = next * 5 + 1;
      },
      200000);
}

void benchLookup(size_t count) {
  std::mt19937_64 random(20221130);
  const auto routes = makeRoutes(count, random);
  Tables tables(1);
  const auto start = Clock::now();
  tables.applyRoutes(routes);
  const double buildMs = std::chrono::duration<double, std::milli>(Clock::now() - start).count();
  std::printf("-- %zu routes\n", count);
  report("build and swap the whole table", buildMs, "ms");
  size_t turn = 0;
  report("change one route and swap", nanoseconds([&] { tables.applyRoutes({routes[turn++ % count]}); }, 2000), "ns");

  const SortedRanges ranges(routes, tables);
  constexpr size_t kAddresses = 1 << 17;
  const Addresses addresses = makeAddresses(routes, kAddresses, random);
  for (size_t i = 0; i < kAddresses; i++) {
    if (tables.route(addresses.at(i)) != ranges.lookup(addresses.at(i))) std::abort();
  }
  const auto trie = [&](const uint8_t* address) { return tables.route(address); };
  const auto sorted = [&](const uint8_t* address) { return ranges.lookup(address); };
  const auto row = [&](const char* what, size_t destinations) {
    std::printf("lookup, %s\n", what);
    report("  trie, one after the other", latencyNanoseconds(addresses, destinations - 1, trie), "ns");
    report("  sorted array, one after the other", latencyNanoseconds(addresses, destinations - 1, sorted), "ns");
    report("  trie, side by side", throughputNanoseconds(addresses, destinations - 1, trie), "ns");
    report("  sorted array, side by side", throughputNanoseconds(addresses, destinations - 1, sorted), "ns");
  };
  row("hot: 256 destinations", 256);
  row("cold: 131,072 destinations", kAddresses);
}

}  // namespace
}  // namespace flannel0

int main() {
  flannel0::benchChecksum();
  flannel0::benchSegment();
  flannel0::benchCoalesce();
  flannel0::benchLookup(10000);
  flannel0::benchLookup(100000);
}
