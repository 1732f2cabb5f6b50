// Generated traffic of several flows as it arrives from a wire: mostly bulk, with everything else that happens to it.
#pragma once

#include "generate.h"

namespace flannel0::test {

class Streams {
 public:
  Streams(Random& random, uint32_t flows) : random_(random), flows_(flows) {
    for (Flow& flow : flows_) start(flow);
  }

  std::vector<Bytes> batch(uint32_t count) {
    std::vector<Bytes> packets;
    while (packets.size() < count) {
      // Runs of one flow, as a train arrives.
      Flow& flow = flows_[random_.below(static_cast<uint32_t>(flows_.size()))];
      for (uint32_t run = random_.between(1, 12); run > 0 && packets.size() < count; run--) {
        packets.push_back(random_.oneIn(12) ? incident(flow) : segment(flow, flow.segmentBytes));
      }
    }
    return packets;
  }

 private:
  enum class Ids { increment, fixed, random };
  struct Flow {
    Fields fields;
    uint32_t segmentBytes;
    Ids ids;
  };

  void start(Flow& flow) {
    flow.fields = anyHeaders(random_);
    if (flow.fields.isTcp) flow.fields.flags = kAck;
    flow.segmentBytes = random_.among<uint32_t>({1, 7, 64, 1380, random_.between(1, 1448)});
    flow.ids = random_.among({Ids::increment, Ids::increment, Ids::fixed, Ids::random});
  }

  Bytes segment(Flow& flow, uint32_t length) {
    flow.fields.payload = anyBytes(random_, length);
    const Bytes packet = encode(flow.fields);
    flow.fields.sequence += length;
    if (flow.ids == Ids::increment) flow.fields.id++;
    if (flow.ids == Ids::random) flow.fields.id = random_.half();
    return packet;
  }

  Bytes once(Flow& flow, void (*change)(Fields&, Random&)) {
    const Fields before = flow.fields;
    change(flow.fields, random_);
    segment(flow, flow.segmentBytes);  // advances
    const Fields after = flow.fields;
    flow.fields = before;
    change(flow.fields, random_);
    const Bytes packet = segment(flow, flow.segmentBytes);
    flow.fields.flags = before.flags;
    flow.fields.udpChecksum = before.udpChecksum;
    flow.fields.sequence = after.sequence;
    return packet;
  }

  Bytes incident(Flow& flow) {
    Fields& fields = flow.fields;
    switch (random_.below(16)) {
      case 0:  // the last of a burst
        return segment(flow, random_.between(1, flow.segmentBytes));
      case 1:  // without payload
        return segment(flow, 0);
      case 2:
        return segment(flow, flow.segmentBytes + 1);
      case 3:  // retransmission
        fields.sequence -= flow.segmentBytes;
        return segment(flow, flow.segmentBytes);
      case 4:  // a gap
        fields.sequence += flow.segmentBytes;
        return segment(flow, flow.segmentBytes);
      case 5:
        return once(flow, [](Fields& f, Random&) { f.flags |= kPsh; });
      case 6:
        return once(flow, [](Fields& f, Random& r) {
          if (f.isTcp) f.flags ^= r.among<uint8_t>({kFin, kSyn, kRst, kUrg, kEce, kCwr, kAck});
        });
      case 7:  // an acknowledgement, a window, an urgent pointer that moves
        if (random_.oneIn(2)) fields.ack += random_.word();
        else if (random_.oneIn(2)) fields.window = random_.oneIn(2) ? 0 : random_.half();
        else fields.urgent++;
        return segment(flow, flow.segmentBytes);
      case 8:
        if (fields.isTcp) fields.tcpOptions = anyTcpOptions(random_);
        return segment(flow, flow.segmentBytes);
      case 9:
        if (random_.oneIn(2)) fields.ttl = static_cast<uint8_t>(random_.between(2, 255));
        else if (random_.oneIn(2)) fields.tos ^= 3;
        else if (random_.oneIn(2)) fields.dontFragment = !fields.dontFragment;
        else fields.ipOptions = anyIpOptions(random_);
        return segment(flow, flow.segmentBytes);
      case 10:  // an IP id out of turn
        fields.id = static_cast<uint16_t>(fields.id + random_.among<uint16_t>({1, 0xffff, random_.half()}));
        return segment(flow, flow.segmentBytes);
      case 11: {  // broken on its way
        Bytes packet = segment(flow, flow.segmentBytes);
        const uint32_t at = random_.between(fields.transportOffset() + 4, static_cast<uint32_t>(packet.size()) - 1);
        packet[at] ^= static_cast<uint8_t>(1u << random_.below(8));
        return packet;
      }
      case 12:
        return once(flow, [](Fields& f, Random&) { f.udpChecksum = false; });
      case 13: {
        Bytes packet = segment(flow, flow.segmentBytes);
        put16(packet, 6, random_.among<uint32_t>({0x2000, 0x00b9, 0x20b9}));
        sealIpHeader(packet);
        return packet;
      }
      case 14: {  // another protocol between the same hosts: ICMP, ESP, UDP-Lite
        Bytes packet = segment(flow, flow.segmentBytes);
        packet[9] = random_.among<uint8_t>({1, 50, 136});
        sealIpHeader(packet);
        return packet;
      }
      default: {  // cut short, its total length with it
        Bytes packet = segment(flow, flow.segmentBytes);
        packet.resize(random_.between(fields.transportOffset(), static_cast<uint32_t>(packet.size())));
        put16(packet, 2, static_cast<uint32_t>(packet.size()));
        sealIpHeader(packet);
        return packet;
      }
    }
  }

  Random& random_;
  std::vector<Flow> flows_;
};

}  // namespace flannel0::test
