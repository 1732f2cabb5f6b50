// A fuzzer's input, taken from the front. At its end everything is zero or empty.
#pragma once

#include <algorithm>
#include <cstring>
#include <memory>

#include "../core/vnet_header.h"
#include "../test/reference.h"

namespace flannel0::fuzz {

class Input {
 public:
  Input(const uint8_t* data, size_t size) : data_(data), size_(size) {}

  bool isEmpty() const { return size_ == 0; }
  uint8_t byte() {
    uint8_t value = 0;
    take(&value, 1);
    return value;
  }
  VnetHeader vnet() {
    VnetHeader header{};
    take(&header, sizeof header);
    return header;
  }
  test::Bytes bytes(size_t length) {
    test::Bytes result(std::min(length, size_));
    take(result.data(), result.size());
    return result;
  }
  test::Bytes rest() { return bytes(size_); }
  // A piece with its length (two bytes, little endian) in front.
  test::Bytes piece() {
    const size_t low = byte();
    return bytes(low + byte() * 256u);
  }

 private:
  void take(void* to, size_t length) {
    const size_t count = std::min(length, size_);
    if (count > 0) std::memcpy(to, data_, count);
    data_ += count;
    size_ -= count;
  }

  const uint8_t* data_;
  size_t size_;
};

// A copy that is exactly as long as the bytes, so that AddressSanitizer sees one byte too many.
inline std::unique_ptr<uint8_t[]> exactly(const test::Bytes& bytes) {
  auto copy = std::make_unique<uint8_t[]>(bytes.size());
  std::copy(bytes.begin(), bytes.end(), copy.get());
  return copy;
}

}  // namespace flannel0::fuzz
