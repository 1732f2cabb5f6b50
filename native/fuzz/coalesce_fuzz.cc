// Coalescing of any batch, with everything that must hold for one (test/coalesce_model.h). Input: which kinds the TUN
// takes (1 TCP, 2 UDP), then operations of one byte and a piece each:
//
//   1  set the header's length fields and checksum right   } so that mutations get past the first checks
//   2  set the transport checksum right                     }
//   4  the piece is the payload of a continuation: headers of the packet before, id and sequence number moved on
#include "../test/coalesce_model.h"
#include "input.h"

using namespace flannel0;

namespace {

constexpr uint8_t kRepairHeader = 1;
constexpr uint8_t kRepairTransport = 2;
constexpr uint8_t kContinue = 4;
constexpr size_t kMaxPackets = 200;

test::Bytes continuation(const test::Bytes& before, test::Bytes payload) {
  auto fields = test::decode(before);
  if (!fields) return payload;
  fields->id++;
  fields->sequence += static_cast<uint32_t>(fields->payload.size());
  fields->payload = std::move(payload);
  return test::encode(*fields);
}

void repairHeader(test::Bytes& packet) {
  if (packet.size() < 20) packet.resize(20);
  packet[0] = static_cast<uint8_t>(0x40 + std::clamp<size_t>(packet[0] % 16u, 5, packet.size() / 4));
  test::put16(packet, 2, static_cast<uint32_t>(packet.size()));
  test::sealIpHeader(packet);
}

void repairTransport(test::Bytes& packet) {
  const auto fields = test::decode(packet);
  if (fields) packet = test::encode(*fields);
}

// What the path lets through to the coalescer.
bool isPassed(const test::Bytes& packet) {
  const auto memory = fuzz::exactly(packet);
  const auto length = static_cast<uint32_t>(packet.size());
  return checkIpv4(memory.get(), length) == DropReason::none && test::get16(packet, 2) == length &&
         test::referenceSum(test::Bytes(packet.begin(), packet.begin() + packet[0] % 16 * 4)) == 0xffff;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz::Input input(data, size);
  const uint8_t kinds = input.byte();
  const bool tcp = (kinds & 1) != 0;
  const bool udp = (kinds & 2) != 0;
  std::vector<test::Bytes> packets;
  test::Bytes before;
  while (!input.isEmpty() && packets.size() < kMaxPackets) {
    const uint8_t operation = input.byte();
    test::Bytes packet = input.piece();
    if ((operation & kContinue) != 0) packet = continuation(before, std::move(packet));
    if (packet.size() > 65535) continue;
    if ((operation & kRepairHeader) != 0) repairHeader(packet);
    if ((operation & kRepairTransport) != 0) repairTransport(packet);
    before = packet;
    if (isPassed(packet)) packets.push_back(std::move(packet));
  }
  static Coalescer* coalescers[4] = {new Coalescer(false, false), new Coalescer(true, false),
                                     new Coalescer(false, true), new Coalescer(true, true)};
  const auto groups = test::coalesce(*coalescers[kinds & 3], packets, tcp, udp);
  CHECK(groups.size() >= test::modelGroups(packets, tcp, udp).size());
  return 0;
}
