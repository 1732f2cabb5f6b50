// A network namespace for one test: a thread's own, gone with the thread (unshare(2)) and its descriptors.
#pragma once

#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <functional>
#include <string>
#include <thread>

#include "../core/fd.h"
#include "check.h"

namespace flannel0::test {

// Runs `body` on a thread in a namespace of its own. Without the right to make one (not root) the test is skipped, and
// says so.
inline void inNamespace(const char* name, const std::function<void()>& body) {
  std::thread thread([&] {
    if (unshare(CLONE_NEWNET) < 0) {
      std::printf("SKIPPED %s: a network namespace needs root (%s)\n", name, strerror(errno));
      return;
    }
    body();
  });
  thread.join();
}

inline void writeSysctl(const std::string& name, const char* value) {
  // /proc/sys/net shows the namespace of the thread that opens it.
  const Fd file(open(("/proc/sys/net/" + name).c_str(), O_WRONLY | O_CLOEXEC));
  CHECK(file.isOpen());
  CHECK(write(file.get(), value, std::strlen(value)) > 0);
}

class Interface {
 public:
  explicit Interface(const std::string& name) : control_(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    CHECK(control_.isOpen());
    std::memcpy(request_.ifr_name, name.c_str(), name.size());
  }
  void setMtu(int mtu) {
    request_.ifr_mtu = mtu;
    CHECK(ioctl(control_.get(), SIOCSIFMTU, &request_) == 0);
  }
  void setQueueLength(int packets) {
    request_.ifr_qlen = packets;
    CHECK(ioctl(control_.get(), SIOCSIFTXQLEN, &request_) == 0);
  }
  // Address and netmask of 24 bits.
  void setAddress(const char* address) {
    setSockaddr(address);
    CHECK(ioctl(control_.get(), SIOCSIFADDR, &request_) == 0);
    setSockaddr("255.255.255.0");
    CHECK(ioctl(control_.get(), SIOCSIFNETMASK, &request_) == 0);
  }
  void setUp() {
    request_.ifr_flags = IFF_UP | IFF_RUNNING;
    CHECK(ioctl(control_.get(), SIOCSIFFLAGS, &request_) == 0);
  }

 private:
  void setSockaddr(const char* address) {
    sockaddr_in value{};
    value.sin_family = AF_INET;
    CHECK(inet_pton(AF_INET, address, &value.sin_addr) == 1);
    std::memcpy(&request_.ifr_addr, &value, sizeof value);
  }

  Fd control_;
  ifreq request_{};
};

}  // namespace flannel0::test
