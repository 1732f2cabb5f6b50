#include "tun.h"

#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <sys/ioctl.h>

#include <cerrno>
#include <cstring>

#include "fd.h"

namespace flannel0 {

int openTunQueue(const TunQueueOptions& options, const char*& failed) {
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
  request.ifr_flags = static_cast<short>(flags);
  if (ioctl(tun.get(), TUNSETIFF, &request) < 0) return -errno;
  return tun.release();
}

}  // namespace flannel0
