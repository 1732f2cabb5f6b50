// inject INTERFACE: sends each line of its standard input, one IPv4 packet in hexadecimal, out of INTERFACE as it is
// (packet(7), SOCK_DGRAM): on a TUN device the packet comes out at whoever reads the device. No netfilter, no routing.

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <iostream>
#include <string>
#include <vector>

namespace {

// Empty for a line that is no hexadecimal.
std::vector<uint8_t> fromHex(const std::string& line) {
  std::vector<uint8_t> bytes;
  for (size_t i = 0; i + 1 < line.size(); i += 2) {
    unsigned value = 0;
    if (std::sscanf(line.c_str() + i, "%2x", &value) != 1) return {};
    bytes.push_back(static_cast<uint8_t>(value));
  }
  return bytes;
}

int fail(const char* what) {
  std::fprintf(stderr, "inject: %s: %s\n", what, std::strerror(errno));
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: inject INTERFACE < packets-in-hexadecimal\n");
    return 2;
  }
  sockaddr_ll target{};
  target.sll_family = AF_PACKET;
  target.sll_protocol = htons(ETH_P_IP);
  target.sll_ifindex = static_cast<int>(if_nametoindex(argv[1]));
  if (target.sll_ifindex == 0) return fail(argv[1]);
  const int socket_fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, 0);  // protocol 0: receives nothing
  if (socket_fd < 0) return fail("socket");
  for (std::string line; std::getline(std::cin, line);) {
    const std::vector<uint8_t> packet = fromHex(line);
    if (packet.empty()) {
      std::fprintf(stderr, "inject: no packet: %s\n", line.c_str());
      return 2;
    }
    if (sendto(socket_fd, packet.data(), packet.size(), 0, reinterpret_cast<const sockaddr*>(&target),
               sizeof target) < 0) {
      return fail("sendto");
    }
  }
  return 0;
}
