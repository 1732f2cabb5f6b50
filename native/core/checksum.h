// The Internet checksum (RFC 1071) and its incremental update (RFC 1624).
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace flannel0 {

// One's complement sum of `length` bytes, folded to 16 bits, in the byte order of the data itself: the result can be
// stored or compared without swapping. An odd last byte counts as followed by zero.
//
// 32-bit lanes in 64-bit accumulators need no carries; four of them keep the additions independent, so that the
// compiler and the core can do several at once.
inline uint16_t onesComplementSum(const uint8_t* data, size_t length, uint64_t sum = 0) {
  uint64_t lanes[4] = {0, 0, 0, 0};
  while (length >= 32) {
    uint64_t words[4];
    std::memcpy(words, data, 32);
    lanes[0] += words[0] & 0xffffffff;
    lanes[1] += words[0] >> 32;
    lanes[2] += words[1] & 0xffffffff;
    lanes[3] += words[1] >> 32;
    lanes[0] += words[2] & 0xffffffff;
    lanes[1] += words[2] >> 32;
    lanes[2] += words[3] & 0xffffffff;
    lanes[3] += words[3] >> 32;
    data += 32;
    length -= 32;
  }
  sum += lanes[0] + lanes[1] + lanes[2] + lanes[3];
  while (length >= 4) {
    uint32_t word;
    std::memcpy(&word, data, 4);
    sum += word;
    data += 4;
    length -= 4;
  }
  if (length >= 2) {
    uint16_t word;
    std::memcpy(&word, data, 2);
    sum += word;
    data += 2;
    length -= 2;
  }
  if (length == 1) {
    const uint8_t last[2] = {*data, 0};
    uint16_t word;
    std::memcpy(&word, last, 2);
    sum += word;
  }
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(sum);
}

// The checksum field over `length` bytes whose own checksum field is zero.
inline uint16_t internetChecksum(const uint8_t* data, size_t length) {
  return static_cast<uint16_t>(~onesComplementSum(data, length));
}

// True where the bytes, checksum field included, sum to -0.
inline bool checksumHolds(const uint8_t* data, size_t length) { return onesComplementSum(data, length) == 0xffff; }

}  // namespace flannel0
