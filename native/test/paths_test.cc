// The two packet paths as functions. Agreement with the TypeScript oracle on generated packets is tested from there
// (test/native/oracle.test.ts); here: memory safety on arbitrary bytes, and the facts that need no oracle.
#include <random>

#include "../core/tun_to_udp.h"
#include "../core/udp_to_tun.h"
#include "check.h"
#include "packets.h"

namespace flannel0 {
namespace {

constexpr uint8_t kDevice[4] = {10, 5, 21, 0};

RouteChange routeTo(uint32_t base, uint8_t length, uint32_t hop) {
  RouteChange change{};
  Ipv4{change.destination}.store16(0, base >> 16);
  Ipv4{change.destination}.store16(2, base);
  change.length = length;
  change.hasNextHop = true;
  Ipv4{change.nextHop}.store16(0, hop >> 16);
  Ipv4{change.nextHop}.store16(2, hop);
  change.nextHopBytes = 4;
  change.port = 8285;
  return change;
}

TEST(forwardDecrementsTtlAndKeepsTheChecksumRight) {
  Tables tables(1);
  tables.applyRoutes({routeTo(0x0a052d00, 24, 0xac1f0002)});
  for (int ttl = 2; ttl < 256; ttl++) {
    test::Packet packet = test::makePacket(0x0a051502, 0x0a052d02, static_cast<uint8_t>(ttl), 17, 100);
    AnswerBuffer answer;
    const Evaluated sent = tunToUdp(packet.data(), 120, tables, kDevice, answer);
    CHECK(sent.verdict == Verdict::forward && sent.length == 120 && sent.data[8] == ttl - 1);
    CHECK(checksumHolds(sent.data, 20));
    CHECK(sent.nextHop->port() == 8285);
  }
}

TEST(incrementalChecksumEqualsAFullOneForEveryHeaderWord) {
  // Every value of the checksum field once, by way of the identification field.
  for (uint32_t id = 0; id < 65536; id++) {
    test::Packet packet = test::makePacket(0x0a051502, 0x0a052d02, 64, 17, 0);
    Ipv4 header{packet.data()};
    header.store16(4, id);
    header.store16(10, 0);
    const uint16_t sum = internetChecksum(packet.data(), 20);
    std::memcpy(&packet[10], &sum, 2);
    header.decrementTtl();
    CHECK(checksumHolds(packet.data(), 20));
  }
}

TEST(arbitraryBytesAreReadWithinBounds) {
  std::mt19937_64 random(test::seed());
  Tables tables(1);
  tables.applyRoutes({routeTo(0x0a052d00, 24, 0xac1f0002), routeTo(0x80000000, 1, 0xac1f0003)});
  tables.setLocalAddresses({{10, 5, 21, 1}});
  for (int i = 0; i < 300000; i++) {
    // Exactly as long as the packet, so that AddressSanitizer sees one byte too many.
    test::Packet packet = test::makePacket(0x0a051502, 0x0a052d02, 64, 1, random() % 64);
    const size_t mutations = random() % 4;
    for (size_t m = 0; m < mutations; m++) packet[random() % packet.size()] = static_cast<uint8_t>(random());
    packet.resize(random() % 3 == 0 ? random() % (packet.size() + 1) : packet.size());
    packet.shrink_to_fit();
    AnswerBuffer answer;
    const auto length = static_cast<uint32_t>(packet.size());
    const Evaluated sent = tunToUdp(packet.data(), length, tables, kDevice, answer);
    if (sent.verdict == Verdict::forward) CHECK(sent.length <= length);
    if (sent.verdict == Verdict::answer) CHECK(checksumHolds(sent.data, 20) && sent.length <= kMaxIcmpAnswer);
    const Evaluated received = udpToTun(packet.data(), length, tables);
    if (received.verdict == Verdict::forward) CHECK(checksumHolds(received.data, 20) && received.length <= length);
  }
}

TEST(answersQuoteOnlyWhatWasThere) {
  Tables tables(1);
  for (size_t payload = 0; payload < 20; payload++) {
    test::Packet packet = test::makePacket(0x0a051502, 0x0a05fa09, 64, 17, payload);
    AnswerBuffer answer;
    answer.fill(0xee);
    const Evaluated answered =
        tunToUdp(packet.data(), static_cast<uint32_t>(packet.size()), tables, kDevice, answer);
    CHECK(answered.verdict == Verdict::answer);
    CHECK(answered.length == 28 + 20 + std::min<size_t>(payload, 8));
    CHECK(std::memcmp(answered.data + 28, packet.data(), answered.length - 28) == 0);
    CHECK(checksumHolds(answered.data + 20, answered.length - 20));
  }
}

}  // namespace
}  // namespace flannel0
