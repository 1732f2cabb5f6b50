// Transport for netlink(7): requests and notifications as raw messages. Their contents are encoded and decoded in
// TypeScript (src/rtnetlink/, src/firewall/ruleset-generation.ts).
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "fd.h"

namespace flannel0 {

using NetlinkMessage = std::vector<uint8_t>;

// Sends one request of a protocol (NETLINK_ROUTE, NETLINK_NETFILTER; nlmsghdr + body; length, sequence number, port id and NLM_F_ACK are filled in) and collects the
// whole answer without its ACK or DONE. An interrupted dump (NLM_F_DUMP_INTR) is asked for again. Returns 0 or -errno;
// `explanation` receives the kernel's extended ACK text, where there is one.
int netlinkRequest(int protocol, std::vector<uint8_t> request, std::vector<NetlinkMessage>& answer, std::string& explanation);

// Receives multicast notifications on a thread of its own, named fl0-netlink.
class NetlinkMonitor {
 public:
  // Called on the monitor's thread; an empty vector means that messages were lost (ENOBUFS).
  using Callback = std::function<void(std::vector<NetlinkMessage>)>;

  explicit NetlinkMonitor(Callback callback) : callback_(std::move(callback)) {}
  ~NetlinkMonitor() { stop(); }
  NetlinkMonitor(const NetlinkMonitor&) = delete;
  NetlinkMonitor& operator=(const NetlinkMonitor&) = delete;

  // `groups`: RTMGRP_* bits. Returns 0 or -errno.
  int start(uint32_t groups);
  // Idempotent; joins the thread.
  void stop();

 private:
  void run();

  Callback callback_;
  Fd socket_;
  Fd stopEvent_;
  std::thread thread_;
};

}  // namespace flannel0
