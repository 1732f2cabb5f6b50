#include "sd_notify.h"

#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include <cerrno>
#include <cstddef>
#include <cstring>

#include "fd.h"

namespace flannel0 {

namespace {

// The service manager reads at once; one that hangs must not hang the control plane with it.
constexpr timeval kSendTimeout = {2, 0};

}  // namespace

int sdNotify(const std::string& socketName, const std::string& state) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (socketName.size() < 2 || socketName.size() >= sizeof address.sun_path) return -EINVAL;
  if (socketName[0] != '/' && socketName[0] != '@') return -EINVAL;
  std::memcpy(address.sun_path, socketName.data(), socketName.size());
  if (socketName[0] == '@') address.sun_path[0] = '\0';
  const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + socketName.size());
  const Fd notify(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!notify.isOpen()) return -errno;
  if (setsockopt(notify.get(), SOL_SOCKET, SO_SNDTIMEO, &kSendTimeout, sizeof kSendTimeout) < 0) return -errno;
  const ssize_t sent = sendto(notify.get(), state.data(), state.size(), MSG_NOSIGNAL,
                              reinterpret_cast<const sockaddr*>(&address), length);
  return sent < 0 ? -errno : 0;
}

}  // namespace flannel0
