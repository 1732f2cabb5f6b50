// The core at the edges of the host: threads that cannot be made, locks in the making, a deaf service manager.
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstddef>
#include <string>
#include <thread>

#include "../core/fd.h"
#include "../core/instance_lock.h"
#include "../core/sd_notify.h"
#include "../core/thread.h"
#include "check.h"

namespace flannel0 {
namespace {

struct Name {
  std::string text;
  sockaddr_un address{};
  socklen_t length = 0;

  explicit Name(const char* what) : text(std::string("flannel0-test-") + what + std::to_string(getpid())) {
    address.sun_family = AF_UNIX;
    std::copy(text.begin(), text.end(), address.sun_path + 1);
    length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + text.size());
  }
  const sockaddr* raw() const { return reinterpret_cast<const sockaddr*>(&address); }
};

TEST(aThreadThatCannotBeMadeIsAnError) {
  pthread_attr_t before;
  pthread_attr_t greedy;
  CHECK(pthread_getattr_default_np(&before) == 0);
  CHECK(pthread_attr_init(&greedy) == 0);
  // More stack than there is address space.
  CHECK(pthread_attr_setstacksize(&greedy, size_t{1} << 52) == 0);
  CHECK(pthread_setattr_default_np(&greedy) == 0);
  std::thread thread;
  const int error = startThread(thread, [] {});
  CHECK(pthread_setattr_default_np(&before) == 0);
  CHECK(error < 0);
  CHECK(!thread.joinable());
  sigset_t blocked;
  CHECK(pthread_sigmask(SIG_SETMASK, nullptr, &blocked) == 0);
  CHECK(sigismember(&blocked, SIGTERM) == 0);
}

TEST(threadsHaveAllSignalsBlocked) {
  sigset_t blocked;
  std::thread thread;
  CHECK(startThread(thread, [&] { pthread_sigmask(SIG_SETMASK, nullptr, &blocked); }) == 0);
  thread.join();
  CHECK(sigismember(&blocked, SIGTERM) == 1 && sigismember(&blocked, SIGINT) == 1);
}

// Two daemons in the same instant: the second comes between the first one's bind and listen.
TEST(aHolderThatDoesNotListenYetIsWaitedFor) {
  const Name name("lock");
  const Fd first(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  CHECK(bind(first.get(), name.raw(), name.length) == 0);
  pid_t holder = 0;
  const char* failed = "";
  CHECK(acquireInstanceLock(name.text, holder, failed) == -EADDRINUSE);
  CHECK(holder == 0);
  CHECK(listen(first.get(), 1) == 0);
  CHECK(acquireInstanceLock(name.text, holder, failed) == -EADDRINUSE);
  CHECK(holder == getpid());
}

TEST(aLockWhoseHolderEndsMeanwhileIsTaken) {
  const Name name("dying");
  Fd first(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  CHECK(bind(first.get(), name.raw(), name.length) == 0);
  std::thread ending([&] { first.reset(); });
  pid_t holder = 0;
  const char* failed = "";
  Fd lock;
  // One call waits long enough; a machine that stands still for as long may need another.
  for (int i = 0; i < 1000 && !lock.isOpen(); i++) lock = Fd(acquireInstanceLock(name.text, holder, failed));
  ending.join();
  CHECK(lock.isOpen());
}

TEST(aServiceManagerThatDoesNotReadStopsNobody) {
  const Name name("notify");
  const Fd deaf(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  CHECK(bind(deaf.get(), name.raw(), name.length) == 0);
  int sent = 0;
  int error = 0;
  // The queue's limits are net.unix.max_dgram_qlen and the senders' buffers.
  while (error == 0 && sent < 100000) {
    error = sdNotify("@" + name.text, "WATCHDOG=1");
    sent++;
  }
  CHECK(error == -EAGAIN);
  CHECK(sdNotify("relative", "READY=1") == -EINVAL);
  CHECK(sdNotify("@", "READY=1") == -EINVAL);
}

}  // namespace
}  // namespace flannel0
