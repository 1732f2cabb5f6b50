// Writing to the TUN.
#pragma once

#include <sys/uio.h>

#include <cerrno>

#include "path_io.h"
#include "vnet_header.h"

namespace flannel0 {

// Writes one packet that lies in `count` pieces, the virtio_net_hdr included where the device has one.
inline DropReason writeTunPieces(int tunFd, const iovec* pieces, int count) {
  for (;;) {
    if (writev(tunFd, pieces, count) >= 0) return DropReason::none;
    if (errno == EINTR) continue;
    return errno == EAGAIN || errno == ENOBUFS ? DropReason::tunQueueFull : DropReason::tunWriteFailed;
  }
}

// Writes one finished packet.
inline DropReason writeTunPacket(const PathIo& io, uint8_t* data, uint32_t length) {
  VnetHeader vnet{};
  const iovec pieces[2] = {{&vnet, kVnetHeaderBytes}, {data, length}};
  return io.tun.vnetHeader ? writeTunPieces(io.tunFd, pieces, 2) : writeTunPieces(io.tunFd, pieces + 1, 1);
}

}  // namespace flannel0
