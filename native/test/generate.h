// Generated packets for the offload tests.
#pragma once

#include "random.h"
#include "reference.h"

namespace flannel0::test {

inline Bytes anyBytes(Random& random, size_t length) {
  Bytes bytes(length);
  // Runs of ones and zeros make the carries of a checksum, and its zero, likely.
  const uint32_t style = random.below(4);
  for (uint8_t& byte : bytes) byte = style == 0 ? 0xff : style == 1 ? 0 : random.byte();
  return bytes;
}

// Options that a forwarding kernel leaves alone: no-operation, router alert, stream id; and end of list (RFC 791 3.1).
inline Bytes anyIpOptions(Random& random) {
  Bytes options;
  if (!random.oneIn(4)) return options;
  while (options.size() < 4 * random.between(1, 10)) {
    const Bytes words[] = {{1, 1, 1, 1}, {0x94, 4, 0, 0}, {0x88, 4, random.byte(), 7}, {1, 1, 1, 0}};
    const Bytes& word = words[options.empty() ? random.below(3) : random.below(4)];
    options.insert(options.end(), word.begin(), word.end());
    if (word.back() == 0 && word.front() == 1) break;
  }
  if (options.size() > 40) options.resize(40);
  return options;
}

inline Bytes anyTcpOptions(Random& random) {
  switch (random.below(3)) {
    case 0:
      return {};
    case 1: {  // two no-operations and timestamps, as Linux sends them
      Bytes options = {1, 1, 8, 10};
      for (int i = 0; i < 8; i++) options.push_back(random.byte());
      return options;
    }
    default:
      return anyBytes(random, 4 * random.between(1, 10));
  }
}

// Any TCP or UDP packet without a payload.
inline Fields anyHeaders(Random& random) {
  Fields fields;
  fields.tos = random.oneIn(2) ? 0 : random.byte();
  fields.id = random.among<uint16_t>({0, 1, 0x7fff, 0xfffe, 0xffff, random.half()});
  fields.dontFragment = random.oneIn(2);
  fields.reservedFlag = random.oneIn(16);
  fields.ttl = static_cast<uint8_t>(random.between(2, 255));
  fields.source = 0x0a4d0102 + random.below(16);
  fields.destination = 0x0a4d0202 + random.below(16);
  fields.ipOptions = anyIpOptions(random);
  fields.isTcp = !random.oneIn(3);
  fields.sourcePort = random.half();
  fields.destinationPort = random.half();
  if (!fields.isTcp) return fields;
  fields.sequence = random.among<uint32_t>({0, 0xffffff00, random.word()});
  fields.ack = random.word();
  fields.reserved = random.oneIn(8) ? static_cast<uint8_t>(random.below(16)) : uint8_t{0};
  fields.flags = random.oneIn(3) ? random.byte() : random.among<uint8_t>({kAck, kAck | kPsh, kAck | kCwr | kEce});
  fields.window = random.oneIn(8) ? 0 : random.half();
  fields.urgent = random.oneIn(8) ? random.half() : 0;
  fields.tcpOptions = anyTcpOptions(random);
  return fields;
}

}  // namespace flannel0::test
