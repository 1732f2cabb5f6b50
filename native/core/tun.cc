#include "tun.h"

#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <sys/ioctl.h>

#include <cerrno>
#include <cstring>

#include "fd.h"
#include "vnet_header.h"

// linux/if_tun.h of Linux 6.2 and later.
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

namespace flannel0 {

namespace {

bool setOffloads(int tun, unsigned flags) { return ioctl(tun, TUNSETOFFLOAD, flags) == 0; }

// From the richest set down to none; the kernel refuses a set as a whole (EINVAL) when it lacks one of them.
void negotiate(int tun, TunOffloads& offloads) {
  const int headerBytes = kVnetHeaderBytes;
  if (offloads.vnetHeader && ioctl(tun, TUNSETVNETHDRSZ, &headerBytes) < 0) offloads = {.vnetHeader = true};
  const unsigned tcpFlags = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO_ECN;
  // TUN_F_USO6 goes with USO4: the kernel takes both or neither.
  const unsigned udpFlags = TUN_F_USO4 | TUN_F_USO6;
  if (offloads.udp && !(offloads.checksum && setOffloads(tun, udpFlags | (offloads.tcp ? tcpFlags : TUN_F_CSUM)))) {
    offloads.udp = false;
  }
  if (offloads.udp) return;
  if (offloads.tcp && !(offloads.checksum && setOffloads(tun, tcpFlags))) offloads.tcp = false;
  if (offloads.tcp) return;
  if (!setOffloads(tun, offloads.checksum ? TUN_F_CSUM : 0)) offloads.checksum = false;
}

}  // namespace

int openTunQueue(TunQueueOptions& options, const char*& failed) {
  failed = "TUNSETIFF";
  if (options.name.empty() || options.name.size() >= IFNAMSIZ) return -EINVAL;
  failed = "open /dev/net/tun";
  Fd tun(open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC));
  if (!tun.isOpen()) return -errno;
  failed = "TUNSETIFF";
  ifreq request{};
  std::memcpy(request.ifr_name, options.name.c_str(), options.name.size());
  unsigned flags = IFF_TUN | IFF_NO_PI;
  if (options.exclusive) flags |= IFF_TUN_EXCL;
  if (options.multiQueue) flags |= IFF_MULTI_QUEUE;
  if (options.offloads.vnetHeader) flags |= IFF_VNET_HDR;
  request.ifr_flags = static_cast<short>(flags);
  if (ioctl(tun.get(), TUNSETIFF, &request) < 0) return -errno;
  if (options.offloads.vnetHeader) {
    negotiate(tun.get(), options.offloads);
  } else {
    options.offloads = {};
  }
  return tun.release();
}

}  // namespace flannel0
