#include "instance_lock.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <cstddef>
#include <cstring>

#include "fd.h"

namespace flannel0 {

namespace {

pid_t findHolder(const sockaddr_un& address, socklen_t length) {
  const Fd probe(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!probe.isOpen()) return 0;
  if (connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), length) < 0) return 0;
  ucred holder{};
  socklen_t size = sizeof holder;
  return getsockopt(probe.get(), SOL_SOCKET, SO_PEERCRED, &holder, &size) < 0 ? 0 : holder.pid;
}

}  // namespace

int acquireInstanceLock(const std::string& name, pid_t& holder, const char*& failed) {
  holder = 0;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  failed = "lock name";
  if (name.empty() || name.size() >= sizeof address.sun_path) return -EINVAL;
  std::memcpy(address.sun_path + 1, name.data(), name.size());
  const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());

  failed = "lock";
  Fd lock(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!lock.isOpen()) return -errno;
  if (bind(lock.get(), reinterpret_cast<const sockaddr*>(&address), length) < 0) {
    const int error = errno;
    if (error == EADDRINUSE) holder = findHolder(address, length);
    return -error;
  }
  // Nobody accepts: each refused second daemon leaves one entry here. A full backlog (somaxconn) hides the pid from the
  // next one, nothing worse.
  if (listen(lock.get(), SOMAXCONN) < 0) return -errno;
  return lock.release();
}

}  // namespace flannel0
