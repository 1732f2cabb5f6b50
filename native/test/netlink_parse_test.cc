// Netlink datagrams with lengths that lie. Each input is a heap block of its exact size, so that AddressSanitizer sees
// the first byte read beyond it.
#include <algorithm>
#include <cstring>
#include <memory>
#include <random>
#include <vector>

#include "../core/netlink_parse.h"
#include "check.h"

namespace flannel0 {
namespace {

using Bytes = std::vector<uint8_t>;

template <class T>
void append(Bytes& to, const T& what) {
  const size_t before = to.size();
  to.resize(before + sizeof what);
  std::memcpy(&to[before], &what, sizeof what);
}

// An NLMSG_ERROR with a text of `text` bytes (NUL included) behind a copy of a request of `request` bytes.
Bytes makeError(uint16_t flags, uint32_t request, const std::string& text) {
  Bytes message;
  append(message, nlmsghdr{0, NLMSG_ERROR, flags, 1, 0});
  append(message, nlmsgerr{-17, nlmsghdr{request, 20, 0, 1, 0}});
  if ((flags & NLM_F_CAPPED) == 0) message.resize(message.size() + NLMSG_ALIGN(request - sizeof(nlmsghdr)));
  append(message, nlattr{static_cast<uint16_t>(sizeof(nlattr) + text.size()), NLMSGERR_ATTR_MSG});
  message.insert(message.end(), text.begin(), text.end());
  const auto length = static_cast<uint32_t>(message.size());
  std::memcpy(message.data(), &length, sizeof length);
  return message;
}

struct Parsed {
  size_t messages = 0;
  std::string text;
};

Parsed parse(const Bytes& datagram) {
  const auto exact = std::make_unique<uint8_t[]>(datagram.size());
  std::copy(datagram.begin(), datagram.end(), exact.get());
  Parsed parsed;
  forEachMessage(exact.get(), datagram.size(), [&](const nlmsghdr& header, const uint8_t* message) {
    const Bytes whole(message, message + header.nlmsg_len);
    parsed.messages++;
    if (header.nlmsg_len >= sizeof(nlmsghdr) + sizeof(nlmsgerr)) parsed.text = extendedAck(header, message);
    return true;
  });
  return parsed;
}

TEST(extendedAcksAreRead) {
  const std::string text = "File exists";
  CHECK(parse(makeError(NLM_F_ACK_TLVS | NLM_F_CAPPED, 40, text + '\0')).text == text);
  CHECK(parse(makeError(NLM_F_ACK_TLVS, 41, text + '\0')).text == text);
  CHECK(parse(makeError(NLM_F_ACK_TLVS, 41, text)).text == text);
  CHECK(parse(makeError(NLM_F_CAPPED, 40, text)).text.empty());
  CHECK(parse(makeError(NLM_F_ACK_TLVS | NLM_F_CAPPED, 40, "")).text.empty());
}

TEST(severalMessagesEndWhereTheDatagramDoes) {
  Bytes datagram = makeError(0, 16, "abc");
  const size_t first = datagram.size();
  datagram.resize(NLMSG_ALIGN(first));
  const Bytes second = makeError(0, 16, "abcd");
  datagram.insert(datagram.end(), second.begin(), second.end());
  CHECK(parse(datagram).messages == 2);
  // Unpadded at its end, one byte short, and cut anywhere.
  CHECK(parse(makeError(0, 16, "abc")).messages == 1);
  for (size_t length = 0; length < datagram.size(); length++) {
    CHECK(parse(Bytes(datagram.begin(), datagram.begin() + static_cast<ptrdiff_t>(length))).messages ==
          (length < first ? 0u : 1u));
  }
}

TEST(lengthsThatLieAreNotFollowed) {
  std::mt19937_64 random(test::seed());
  const uint32_t lies[] = {0,  1,  3,  4,      15,     16,     17,         19,         20,
                           35, 36, 52, 0x7fff, 0x8000, 0xffff, 0x7fffffff, 0xfffffff0, 0xffffffff};
  const Bytes honest = makeError(NLM_F_ACK_TLVS, 52, "No such device");
  for (int round = 0; round < 20000; round++) {
    Bytes datagram = honest;
    datagram.insert(datagram.end(), honest.begin(), honest.end());
    for (uint64_t changes = random() % 4 + 1; changes > 0; changes--) {
      const uint32_t lie = lies[random() % std::size(lies)];
      // The fields lie at multiples of their width; lengths are four bytes in headers, two in attributes.
      const size_t width = random() % 2 == 0 ? 2 : 4;
      std::memcpy(&datagram[random() % (datagram.size() / width) * width], &lie, width);
    }
    datagram.resize(random() % (datagram.size() + 1));
    CHECK(parse(datagram).messages <= datagram.size() / sizeof(nlmsghdr));
  }
}

}  // namespace
}  // namespace flannel0
