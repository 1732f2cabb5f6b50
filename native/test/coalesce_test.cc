// Coalescing against a model of its rules, and undone by segmentation (coalesce_model.h).
#include "../core/coalesce.h"

#include "../core/segment.h"
#include "coalesce_model.h"
#include "streams.h"

namespace flannel0 {
namespace {

using test::Bytes;
using test::Fields;
using test::Group;
using test::Random;
using test::Streams;

Fields bulk(bool isTcp) {
  Fields fields;
  fields.isTcp = isTcp;
  fields.source = 0x0a050102;
  fields.destination = 0x0a050202;
  fields.sourcePort = 40000;
  fields.destinationPort = 5201;
  fields.sequence = 0xfffffff0;
  fields.payload = Bytes(100, 0xa5);
  return fields;
}

// One flow has no other to be confused with: exactly the model's groups.
TEST(oneFlowIsJoinedExactlyAsTheModelSays) {
  Random random(30);
  size_t joined = 0;
  size_t packets = 0;
  Coalescer coalescer(true, true);
  for (int round = 0; round < test::rounds(1500); round++) {
    const auto batch = Streams(random, 1).batch(random.between(1, 100));
    const auto groups = test::coalesce(coalescer, batch, true, true);
    CHECK(groups == test::modelGroups(batch, true, true));
    packets += batch.size();
    joined += batch.size() - groups.size();
  }
  // The generator reaches both: much is joined, and much is not.
  CHECK(joined * 4 > packets && joined * 10 < packets * 9);
}

// Flows that share a slot of the hash table close each other: at most as much is joined as the model allows.
TEST(manyFlowsKeepTheirOrderAndLoseNothing) {
  Random random(31);
  Coalescer coalescer(true, true);
  for (int round = 0; round < test::rounds(150); round++) {
    const auto batch = Streams(random, random.among<uint32_t>({2, 5, 30, 900})).batch(random.between(1, kMaxItems / 4));
    const auto groups = test::coalesce(coalescer, batch, true, true);
    CHECK(groups.size() >= test::modelGroups(batch, true, true).size());
  }
}

TEST(aFullBatchOfCollidingFlows) {
  Random random(32);
  Coalescer coalescer(true, true);
  const auto batch = Streams(random, 4000).batch(kMaxItems);
  test::coalesce(coalescer, batch, true, true);
}

TEST(whatTheTunDoesNotTakeIsNotJoined) {
  Random random(33);
  for (const bool tcp : {false, true}) {
    for (const bool udp : {false, true}) {
      Coalescer coalescer(tcp, udp);
      for (int round = 0; round < test::rounds(100); round++) {
        const auto batch = Streams(random, 1).batch(50);
        CHECK(test::coalesce(coalescer, batch, tcp, udp) == test::modelGroups(batch, tcp, udp));
      }
    }
  }
}

// Each field on its own: two packets that differ in nothing else.
TEST(eachDifferenceKeepsPacketsApart) {
  struct Difference {
    const char* what;
    bool mayJoin;
    void (*change)(Fields&);
  };
  const Difference differences[] = {
      {"nothing", true, [](Fields&) {}},
      {"psh on the last", true, [](Fields& f) { f.flags |= f.isTcp ? test::kPsh : 0; }},
      {"shorter", true, [](Fields& f) { f.payload.resize(99); }},
      {"empty", false, [](Fields& f) { f.payload.clear(); }},
      {"longer", false, [](Fields& f) { f.payload.resize(101); }},
      {"tos", false, [](Fields& f) { f.tos = 4; }},
      {"congestion experienced", false, [](Fields& f) { f.tos = 3; }},
      {"df", false, [](Fields& f) { f.dontFragment = true; }},
      {"reserved flag", false, [](Fields& f) { f.reservedFlag = true; }},
      {"ttl", false, [](Fields& f) { f.ttl++; }},
      {"source", false, [](Fields& f) { f.source++; }},
      {"destination", false, [](Fields& f) { f.destination++; }},
      {"ip options", false, [](Fields& f) { f.ipOptions = {1, 1, 1, 1}; }},
      {"source port", false, [](Fields& f) { f.sourcePort++; }},
      {"destination port", false, [](Fields& f) { f.destinationPort++; }},
      {"same id", false, [](Fields& f) { f.id--; }},
      {"id skipped", false, [](Fields& f) { f.id++; }},
  };
  const Difference tcpDifferences[] = {
      {"sequence behind", false, [](Fields& f) { f.sequence -= 100; }},
      {"sequence ahead", false, [](Fields& f) { f.sequence++; }},
      {"ack", false, [](Fields& f) { f.ack++; }},
      {"window", false, [](Fields& f) { f.window++; }},
      {"urgent pointer", false, [](Fields& f) { f.urgent++; }},
      {"reserved bits", false, [](Fields& f) { f.reserved = 1; }},
      {"options", false, [](Fields& f) { f.tcpOptions = {1, 1, 1, 1}; }},
      {"fin", false, [](Fields& f) { f.flags |= test::kFin; }},
      {"syn", false, [](Fields& f) { f.flags |= test::kSyn; }},
      {"rst", false, [](Fields& f) { f.flags |= test::kRst; }},
      {"urg", false, [](Fields& f) { f.flags |= test::kUrg; }},
      {"ece", false, [](Fields& f) { f.flags |= test::kEce; }},
      {"cwr", false, [](Fields& f) { f.flags |= test::kCwr; }},
      {"no ack", false, [](Fields& f) { f.flags = 0; }},
  };
  const auto verify = [](bool isTcp, const Difference& difference) {
    Coalescer coalescer(true, true);
    const Fields first = bulk(isTcp);
    Fields second = first;
    second.id++;
    second.sequence += isTcp ? 100 : 0;
    difference.change(second);
    const auto groups = test::coalesce(coalescer, {test::encode(first), test::encode(second)}, true, true);
    if ((groups.size() == 1) != difference.mayJoin) std::fprintf(stderr, "%s\n", difference.what);
    CHECK((groups.size() == 1) == difference.mayJoin);
  };
  for (const Difference& each : differences) {
    verify(true, each);
    verify(false, each);
  }
  for (const Difference& each : tcpDifferences) verify(true, each);
}

// Every single bit error behind the addresses is caught by the checksum, wherever the packet stands, and passed on.
TEST(aBrokenPacketIsNeverBlessed) {
  Coalescer coalescer(true, true);
  for (const bool isTcp : {true, false}) {
    for (size_t broken = 0; broken < 3; broken++) {
      std::vector<Bytes> good;
      Fields fields = bulk(isTcp);
      for (int i = 0; i < 3; i++) {
        good.push_back(test::encode(fields));
        fields.id++;
        fields.sequence += isTcp ? 100 : 0;
      }
      for (uint32_t bit = 20 * 8; bit < good[0].size() * 8; bit++) {
        std::vector<Bytes> batch = good;
        batch[broken][bit / 8] ^= static_cast<uint8_t>(1u << bit % 8);
        const auto groups = test::coalesce(coalescer, batch, true, true);
        for (const Group& group : groups) {
          CHECK(group.size() == 1 || std::find(group.begin(), group.end(), broken) == group.end());
        }
      }
    }
  }
}

TEST(ipIdsThatTheKernelAllows) {
  struct Case {
    std::vector<uint16_t> ids;
    bool dontFragment;
    size_t groups;
  };
  const Case cases[] = {
      {{0xfffe, 0xffff, 0, 1}, false, 1}, {{7, 7, 7, 7}, true, 1},  {{0, 0, 0, 0}, true, 1},
      {{7, 7, 7, 7}, false, 4},           {{7, 8, 8, 8}, true, 2},  {{7, 7, 8, 9}, true, 2},
      {{7, 8, 9, 9}, true, 2},            {{9, 8, 7, 6}, false, 4}, {{1, 3, 5, 7}, true, 4},
  };
  for (const bool isTcp : {true, false}) {
    for (const Case& each : cases) {
      Coalescer coalescer(true, true);
      std::vector<Bytes> batch;
      Fields fields = bulk(isTcp);
      fields.dontFragment = each.dontFragment;
      for (const uint16_t id : each.ids) {
        fields.id = id;
        batch.push_back(test::encode(fields));
        fields.sequence += isTcp ? 100 : 0;
      }
      CHECK(test::coalesce(coalescer, batch, true, true).size() == each.groups);
    }
  }
}

TEST(anItemStaysBelowTheLongestPacket) {
  Coalescer coalescer(true, true);
  for (const uint32_t segmentBytes : {1u, 1023u, 1024u, 1448u, 9000u, 32757u, 32758u, 65495u}) {
    std::vector<Bytes> batch;
    Fields fields = bulk(true);
    fields.payload = Bytes(segmentBytes, 1);
    for (int i = 0; i < 130; i++) {
      batch.push_back(test::encode(fields));
      fields.id++;
      fields.sequence += segmentBytes;
    }
    const size_t most = std::min<size_t>(kMaxJoined, (65535 - 40) / segmentBytes);
    CHECK(test::coalesce(coalescer, batch, true, true).size() == (130 + most - 1) / most);
  }
}

// Both sides of this project: what the coalescer joined, the segmenter cuts.
TEST(segmentingUndoesCoalescing) {
  Random random(34);
  Coalescer coalescer(true, true);
  for (int round = 0; round < test::rounds(300); round++) {
    auto batch = Streams(random, 3).batch(100);
    const auto originals = batch;
    for (Bytes& packet : batch) coalescer.add(packet.data(), static_cast<uint32_t>(packet.size()));
    coalescer.finish();
    for (uint32_t i = 0; i < coalescer.itemCount(); i++) {
      const TunItem& item = coalescer.item(i);
      if (item.packets == 1) continue;
      const Bytes super = test::gather(item);
      Segmenter segmenter;
      CHECK(segmenter.begin(super.data(), item.length, item.vnet) == DropReason::none);
      CHECK(segmenter.segmentCount() == item.packets);
      uint8_t header[kMaxSegmentHeader];
      PacketPieces piece;
      for (uint32_t part = 1; segmenter.next(header, piece); part++) {
        Bytes packet(header, header + piece.headerLength);
        packet.insert(packet.end(), piece.payload, piece.payload + piece.payloadLength);
        Bytes original = originals[test::packetOf(batch, item.pieces[part])];
        if (item.fixedId) test::put16(original, 4, test::get16(packet, 4));
        CHECK(packet == test::canonical(original));
      }
    }
    coalescer.clear();
  }
}

}  // namespace
}  // namespace flannel0
