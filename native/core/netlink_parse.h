// Reading what the kernel put into a netlink datagram (netlink(7)). No length in it is believed before it was compared.
#pragma once

#include <linux/netlink.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>

namespace flannel0 {

// Calls `visit(header, message)` for each well-formed message in `bytes[0, length)` until it returns false.
template <class Visit>
void forEachMessage(const uint8_t* bytes, size_t length, Visit visit) {
  size_t offset = 0;
  while (length - offset >= sizeof(nlmsghdr)) {
    nlmsghdr header;
    std::memcpy(&header, bytes + offset, sizeof header);
    if (header.nlmsg_len < sizeof header || header.nlmsg_len > length - offset) return;
    if (!visit(header, bytes + offset)) return;
    offset += NLMSG_ALIGN(header.nlmsg_len);
    if (offset > length) return;
  }
}

// The text of an extended ACK: attributes behind nlmsgerr, whose copy of the request may be capped to its header.
// `message` holds `header.nlmsg_len` bytes, a whole nlmsgerr among them.
inline std::string extendedAck(const nlmsghdr& header, const uint8_t* message) {
  if ((header.nlmsg_flags & NLM_F_ACK_TLVS) == 0) return {};
  size_t offset = sizeof(nlmsghdr) + sizeof(nlmsgerr);
  if ((header.nlmsg_flags & NLM_F_CAPPED) == 0) {
    nlmsghdr request;
    std::memcpy(&request, message + sizeof(nlmsghdr) + offsetof(nlmsgerr, msg), sizeof request);
    if (request.nlmsg_len < sizeof request) return {};
    offset += NLMSG_ALIGN(request.nlmsg_len - sizeof request);
  }
  while (offset + sizeof(nlattr) <= header.nlmsg_len) {
    nlattr attribute;
    std::memcpy(&attribute, message + offset, sizeof attribute);
    if (attribute.nla_len < sizeof attribute || attribute.nla_len > header.nlmsg_len - offset) return {};
    if ((attribute.nla_type & NLA_TYPE_MASK) == NLMSGERR_ATTR_MSG) {
      const char* text = reinterpret_cast<const char*>(message + offset + sizeof attribute);
      return std::string(text, strnlen(text, attribute.nla_len - sizeof attribute));
    }
    offset += NLA_ALIGN(attribute.nla_len);
  }
  return {};
}

}  // namespace flannel0
