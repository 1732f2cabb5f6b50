// The rules of receive coalescing as a slow, obvious model, and what must hold for any batch whatsoever. For the
// property tests (coalesce_test.cc) and the fuzzer (fuzz/coalesce_fuzz.cc).
#pragma once

#include <map>
#include <tuple>

#include "../core/coalesce.h"
#include "check.h"
#include "reference.h"

namespace flannel0::test {

// Joined packets, by their numbers in the batch.
using Group = std::vector<size_t>;

// A TCP packet, or a UDP packet with a checksum, that arrived intact and carries what may be joined to its like.
inline std::optional<Fields> joinable(const Bytes& packet, bool tcp, bool udp) {
  const auto fields = decode(packet);
  if (!fields || fields->payload.empty()) return {};
  if (fields->isTcp ? !tcp : !udp) return {};
  if (fields->isTcp && fields->flags != kAck && fields->flags != (kAck | kPsh)) return {};
  if (!fields->isTcp && !fields->udpChecksum) return {};
  if (transportSum(packet, fields->transportOffset()) != 0xffff) return {};
  return fields;
}

// Whether `next` continues the packets of `group`.
inline bool continues(const std::vector<Fields>& group, const Fields& next) {
  const Fields& first = group.front();
  const Fields& last = group.back();
  size_t length = first.headerLength() + next.payload.size();
  for (const Fields& each : group) length += each.payload.size();
  if (group.size() == kMaxJoined || length > 65535) return false;
  if ((last.flags & kPsh) != 0 || last.payload.size() != first.payload.size()) return false;
  if (next.payload.size() > first.payload.size()) return false;
  const auto increment = static_cast<uint16_t>(next.id - last.id);
  const auto before = static_cast<uint16_t>(last.id - group[group.size() < 2 ? 0 : group.size() - 2].id);
  if (increment != 1 && !(increment == 0 && next.dontFragment)) return false;
  if (group.size() > 1 && increment != before) return false;
  // Everything else must be as the last packet would have gone on.
  Fields expected = last;
  expected.id = next.id;
  expected.payload = next.payload;
  if (next.isTcp) {
    expected.sequence += static_cast<uint32_t>(last.payload.size());
    expected.flags |= next.flags & kPsh;
  }
  return expected == next;
}

using FlowKey = std::tuple<uint32_t, uint32_t, uint8_t, uint32_t>;

// The flow of a packet that has one: addresses, protocol, ports.
inline std::optional<FlowKey> flowOf(const Bytes& packet) {
  const size_t transport = packet[0] % 16u * 4u;
  if ((packet[9] != 6 && packet[9] != 17) || packet.size() < transport + 4) return {};
  return FlowKey{get32(packet, 12), get32(packet, 16), packet[9], get32(packet, transport)};
}

inline bool isFragment(const Bytes& packet) { return (get16(packet, 6) & 0x3fff) != 0; }

// What the rules allow, where every flow is told from every other.
inline std::vector<Group> modelGroups(const std::vector<Bytes>& packets, bool tcp, bool udp) {
  struct Open {
    size_t group;
    std::vector<Fields> fields;
  };
  std::vector<Group> groups;
  std::map<FlowKey, Open> open;
  for (size_t i = 0; i < packets.size(); i++) {
    if (isFragment(packets[i])) open.clear();
    const auto flow = isFragment(packets[i]) ? std::nullopt : flowOf(packets[i]);
    const auto fields = flow ? joinable(packets[i], tcp, udp) : std::nullopt;
    const auto at = flow ? open.find(*flow) : open.end();
    if (fields && at != open.end() && continues(at->second.fields, *fields)) {
      groups[at->second.group].push_back(i);
      at->second.fields.push_back(*fields);
      continue;
    }
    groups.push_back({i});
    if (flow) open.erase(*flow);
    if (fields) open[*flow] = {groups.size() - 1, {*fields}};
  }
  return groups;
}

// The packet to which a piece of an item belongs.
inline size_t packetOf(const std::vector<Bytes>& buffers, const iovec& piece) {
  const auto* start = static_cast<const uint8_t*>(piece.iov_base);
  for (size_t i = 0; i < buffers.size(); i++) {
    const uint8_t* buffer = buffers[i].data();
    if (start >= buffer && start < buffer + buffers[i].size()) {
      CHECK(start + piece.iov_len <= buffer + buffers[i].size());
      return i;
    }
  }
  CHECK(false);
  return 0;
}

inline Bytes gather(const TunItem& item) {
  Bytes bytes;
  for (uint32_t i = 1; i <= item.packets; i++) {
    const auto* start = static_cast<const uint8_t*>(item.pieces[i].iov_base);
    bytes.insert(bytes.end(), start, start + item.pieces[i].iov_len);
  }
  return bytes;
}

// An all-ones TCP checksum says the same as a zero, which is what segmentation writes; so does the IP header's.
inline Bytes canonical(Bytes packet) {
  sealIpHeader(packet);
  const size_t at = packet[0] % 16u * 4u + 16;
  if (packet[9] == 6 && get16(packet, at) == 0xffff) put16(packet, at, 0);
  return packet;
}

// A super-packet is one of the kernel's: its vnet header describes it, and cut again it gives the packets it was made
// of. Where all had the same IP id, which only those may that are never fragmented (RFC 6864), the ids differ.
inline void checkSuperPacket(const TunItem& item, const Bytes& super, const std::vector<Bytes>& originals) {
  const auto fields = decode(super);
  CHECK(fields.has_value());
  if (!fields) return;
  CHECK(encodePartial(*fields) == super);
  CHECK(item.vnet.flags == VnetHeader::kNeedsChecksum);
  CHECK(item.vnet.gsoType == (fields->isTcp ? VnetHeader::kGsoTcp4 : VnetHeader::kGsoUdpL4));
  CHECK(item.vnet.headerLength == fields->headerLength() && item.headerLength == fields->headerLength());
  CHECK(item.vnet.checksumStart == fields->transportOffset());
  CHECK(item.vnet.checksumOffset == (fields->isTcp ? 16 : 6));
  std::vector<Bytes> segments = referenceSegments(*fields, item.vnet.gsoSize);
  CHECK(segments.size() == originals.size());
  const bool fixedId = get16(originals[0], 4) == get16(originals[1], 4);
  for (size_t i = 0; i < segments.size(); i++) {
    if (fixedId) {
      CHECK(fields->dontFragment);
      put16(segments[i], 4, get16(originals[i], 4));
      sealIpHeader(segments[i]);
    }
    CHECK(segments[i] == canonical(originals[i]));
  }
}

inline void checkOrder(const std::vector<Bytes>& originals, const std::vector<Group>& groups) {
  std::vector<size_t> place(originals.size());
  size_t next = 0;
  for (const Group& group : groups) {
    for (const size_t packet : group) place[packet] = next++;
  }
  size_t barrier = 0;
  size_t highest = 0;
  std::map<FlowKey, size_t> last;
  for (size_t i = 0; i < originals.size(); i++) {
    CHECK(place[i] >= barrier);
    highest = std::max(highest, place[i]);
    if (isFragment(originals[i])) {
      // It may be of any flow: nothing overtakes it, and it overtakes nothing.
      CHECK(place[i] == highest);
      barrier = place[i];
    } else if (const auto flow = flowOf(originals[i])) {
      const auto [at, isFirst] = last.try_emplace(*flow, place[i]);
      CHECK(isFirst || place[i] > at->second);
      at->second = place[i];
    }
  }
}

// Passes a batch through a coalescer and checks what holds for every batch: each packet comes out once; each flow in
// its order; what was joined was allowed to be, and is undone by segmentation byte for byte; what was not is untouched.
// Returns the groups. Packets are IPv4 packets of at least a header, as long as their total length, with a valid
// header checksum; at most kMaxItems.
inline std::vector<Group> coalesce(Coalescer& coalescer, const std::vector<Bytes>& originals, bool tcp, bool udp) {
  std::vector<Bytes> buffers = originals;
  for (Bytes& buffer : buffers) {
    CHECK(!coalescer.isFull());
    coalescer.add(buffer.data(), static_cast<uint32_t>(buffer.size()));
  }
  coalescer.finish();
  std::vector<Group> groups;
  std::vector<bool> seen(originals.size());
  for (uint32_t i = 0; i < coalescer.itemCount(); i++) {
    const TunItem& item = coalescer.item(i);
    CHECK(item.packets >= 1 && item.packets <= kMaxJoined);
    CHECK(item.pieces[0].iov_base == &item.vnet && item.pieces[0].iov_len == kVnetHeaderBytes);
    Group group;
    std::vector<Bytes> members;
    std::vector<Fields> fields;
    for (uint32_t piece = 1; piece <= item.packets; piece++) {
      const size_t packet = packetOf(buffers, item.pieces[piece]);
      CHECK(!seen[packet]);
      seen[packet] = true;
      group.push_back(packet);
      members.push_back(originals[packet]);
      if (item.packets == 1) continue;
      const auto each = joinable(originals[packet], tcp, udp);
      CHECK(each && (fields.empty() || continues(fields, *each)));
      if (each) fields.push_back(*each);
    }
    const Bytes whole = gather(item);
    CHECK(whole.size() == item.length);
    if (item.packets > 1) {
      checkSuperPacket(item, whole, members);
    } else {
      CHECK(whole == members[0]);
      CHECK(item.vnet.flags == 0 && item.vnet.gsoType == VnetHeader::kGsoNone && item.vnet.gsoSize == 0);
    }
    groups.push_back(std::move(group));
  }
  for (const bool each : seen) CHECK(each);
  checkOrder(originals, groups);
  coalescer.clear();
  CHECK(coalescer.itemCount() == 0);
  return groups;
}

}  // namespace flannel0::test
