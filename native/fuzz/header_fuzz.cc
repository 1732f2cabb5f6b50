// Header parsing and both verdicts (tun_to_udp.h, udp_to_tun.h). Input: the packet.
#include "../core/checksum.h"
#include "../core/tun_to_udp.h"
#include "../core/udp_to_tun.h"
#include "../test/check.h"
#include "input.h"

using namespace flannel0;

namespace {

constexpr uint8_t kDevice[4] = {10, 5, 21, 0};

Tables& tables() {
  static Tables* all = [] {
    auto* made = new Tables(1);
    RouteChange route{};  // the half of all addresses that begins with a 0 bit
    route.length = 1;
    route.hasNextHop = true;
    route.nextHop[0] = 127;
    route.nextHopBytes = 4;
    route.port = 8285;
    made->applyRoutes({route});
    made->setLocalAddresses({{10, 5, 21, 1}});
    return made;
  }();
  return *all;
}

// Only the TTL and the header's checksum change on the way through; nothing beyond the total length is sent.
void checkForwarded(const Evaluated& evaluated, const test::Bytes& before, const uint8_t* memory) {
  CHECK(evaluated.data == memory && evaluated.length == test::get16(before, 2));
  CHECK(before[8] >= 2 && memory[8] == before[8] - 1);
  for (size_t i = 0; i < before.size(); i++) CHECK(i == 8 || i == 10 || i == 11 || memory[i] == before[i]);
  const size_t headerLength = before[0] % 16u * 4u;
  CHECK(checksumHolds(before.data(), headerLength) == checksumHolds(memory, headerLength));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const test::Bytes packet(data, data + std::min<size_t>(size, 65535));
  const auto length = static_cast<uint32_t>(packet.size());
  const auto outward = fuzz::exactly(packet);
  AnswerBuffer answer;
  const Evaluated sent = tunToUdp(outward.get(), length, tables(), kDevice, answer);
  if (sent.verdict == Verdict::forward) {
    checkForwarded(sent, packet, outward.get());
    CHECK(sent.nextHop != nullptr);
  } else {
    CHECK(std::equal(packet.begin(), packet.end(), outward.get()));
  }
  if (sent.verdict == Verdict::answer) {
    // Never longer than 28 bytes more than what it is about.
    CHECK(sent.length <= kMaxIcmpAnswer && sent.length <= length + 28);
    CHECK(checksumHolds(sent.data, 20) && checksumHolds(sent.data + 20, sent.length - 20));
  }
  CHECK((sent.verdict == Verdict::drop) == (sent.reason != DropReason::none));

  const auto inward = fuzz::exactly(packet);
  const Evaluated received = udpToTun(inward.get(), length, tables());
  CHECK(received.verdict != Verdict::answer);
  if (received.verdict == Verdict::forward) {
    checkForwarded(received, packet, inward.get());
    CHECK(checksumHolds(inward.get(), packet[0] % 16u * 4u));
  }
  return 0;
}
