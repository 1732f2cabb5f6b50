#include "instance_lock.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <ctime>

#include "fd.h"

namespace flannel0 {

namespace {

// A holder is visible as one that does not listen for two system calls' time, at its birth and at its death. What is
// still unclear after 20 ms is told as it is.
constexpr int kBindAttempts = 20;
constexpr timespec kBindPause = {0, 1'000'000};

// Returns 0 with the pid of the process that listens at `address`, or -errno.
int findHolder(const sockaddr_un& address, socklen_t length, pid_t& pid) {
  const Fd probe(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!probe.isOpen()) return -errno;
  if (connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), length) < 0) return -errno;
  ucred holder{};
  socklen_t size = sizeof holder;
  if (getsockopt(probe.get(), SOL_SOCKET, SO_PEERCRED, &holder, &size) < 0) return -errno;
  pid = holder.pid;
  return 0;
}

// Binds, or says who was first.
int bindOrFindHolder(int lock, const sockaddr_un& address, socklen_t length, pid_t& holder) {
  for (int attempt = 1;; attempt++) {
    if (bind(lock, reinterpret_cast<const sockaddr*>(&address), length) == 0) return 0;
    if (errno != EADDRINUSE) return -errno;
    if (findHolder(address, length, holder) != -ECONNREFUSED || attempt == kBindAttempts) return -EADDRINUSE;
    nanosleep(&kBindPause, nullptr);
  }
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
  if (const int error = bindOrFindHolder(lock.get(), address, length, holder); error < 0) return error;
  // Nobody accepts: each refused second daemon leaves one entry here. A full backlog (somaxconn) hides the pid from the
  // next one, nothing worse.
  if (listen(lock.get(), SOMAXCONN) < 0) return -errno;
  return lock.release();
}

}  // namespace flannel0
