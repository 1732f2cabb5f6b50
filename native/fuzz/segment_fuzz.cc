// Segmentation and checksum completion with a virtio_net_hdr that may lie. Input: the header, the packet.
#include "../core/segment.h"
#include "../test/check.h"
#include "input.h"

using namespace flannel0;

namespace {

void segment(const test::Bytes& packet, const VnetHeader& vnet) {
  const auto memory = fuzz::exactly(packet);
  const auto length = static_cast<uint32_t>(packet.size());
  Segmenter segmenter;
  const DropReason reason = segmenter.begin(memory.get(), length, vnet);
  if (reason != DropReason::none) {
    CHECK(reason == DropReason::badOffload);
    return;
  }
  auto fields = test::decode(packet);
  if (!fields && packet[9] == 17) {
    // The kernel's UDP super-packet may say anything in its length field: the segments have their own.
    test::Bytes measured = packet;
    test::put16(measured, packet[0] % 16u * 4u + 4, length - packet[0] % 16u * 4u);
    fields = test::decode(measured);
  }
  CHECK(fields.has_value());
  if (!fields) return;
  if (vnet.needsChecksum()) fields->udpChecksum = true;
  const auto expected = test::referenceSegments(*fields, vnet.gsoSize);
  CHECK(segmenter.segmentCount() == expected.size());
  uint8_t header[kMaxSegmentHeader];
  PacketPieces piece;
  for (const test::Bytes& each : expected) {
    CHECK(segmenter.next(header, piece));
    CHECK(piece.length() == each.size());
    CHECK(std::equal(header, header + piece.headerLength, each.begin()));
    CHECK(std::equal(piece.payload, piece.payload + piece.payloadLength, each.begin() + piece.headerLength));
  }
  CHECK(!segmenter.next(header, piece));
  CHECK(std::equal(packet.begin(), packet.end(), memory.get()));
}

void complete(const test::Bytes& packet, const VnetHeader& vnet) {
  const auto memory = fuzz::exactly(packet);
  const DropReason reason = completeChecksum(memory.get(), static_cast<uint32_t>(packet.size()), vnet);
  const size_t field = size_t{vnet.checksumStart} + vnet.checksumOffset;
  for (size_t i = 0; i < packet.size(); i++) {
    const bool mayChange = reason == DropReason::none && (i == field || i == field + 1);
    CHECK(mayChange || memory[i] == packet[i]);
  }
  if (reason != DropReason::none) return;
  CHECK(field >= packet[0] % 16u * 4u);
  test::Bytes summed(packet.begin() + vnet.checksumStart, packet.end());
  const uint32_t sum = 0xffff - test::referenceSum(summed);
  CHECK(memory[field] * 256u + memory[field + 1] == (sum == 0 ? 0xffff : sum));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz::Input input(data, std::min<size_t>(size, 65535));
  const VnetHeader vnet = input.vnet();
  test::Bytes packet = input.rest();
  const auto memory = fuzz::exactly(packet);
  if (checkIpv4(memory.get(), static_cast<uint32_t>(packet.size())) != DropReason::none) return 0;
  packet.resize(test::get16(packet, 2));
  segment(packet, vnet);
  complete(packet, vnet);
  return 0;
}
