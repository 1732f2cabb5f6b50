// The tables that the packet path reads, and their one writer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <vector>

#include "epoch.h"
#include "next_hop.h"
#include "prefix_trie.h"

namespace flannel0 {

// A change of one IPv4 route; no next hop removes it. `port` in host order.
struct RouteChange {
  uint8_t destination[4];
  uint8_t length;  // 0..32
  bool hasNextHop;
  uint8_t nextHop[16];
  uint8_t nextHopBytes;  // 4 or 16
  uint16_t port;
};

class Tables {
 public:
  explicit Tables(size_t readers) : domain_(readers), routes_(domain_), localAddresses_(domain_) {}
  ~Tables();
  Tables(const Tables&) = delete;
  Tables& operator=(const Tables&) = delete;

  // Writer (one thread at a time): all changes become visible in one swap.
  void applyRoutes(const std::vector<RouteChange>& changes);
  // Writer: replaces the set of this host's own addresses (4 bytes each).
  void setLocalAddresses(const std::vector<std::array<uint8_t, 4>>& addresses);

  // Readers, inside an epoch; also the writer's own thread.
  const NextHop* route(const uint8_t* destination) const { return routes_.lookup(destination); }
  bool isLocal(const uint8_t* address) const { return localAddresses_.lookup(address) != nullptr; }

  EpochDomain& domain() { return domain_; }

 private:
  struct LocalAddress {};
  // Next hops are shared by the routes that lead to them and freed with the last one.
  struct SharedHop {
    NextHop hop;
    size_t routes = 0;
  };
  using HopKey = std::pair<std::vector<uint8_t>, uint16_t>;

  const NextHop* acquireHop(const RouteChange& change);
  void releaseHop(const NextHop* hop);

  EpochDomain domain_;
  PrefixTrie<NextHop> routes_;
  PrefixTrie<LocalAddress> localAddresses_;
  std::map<HopKey, SharedHop*> hops_;
  std::set<std::array<uint8_t, 4>> local_;
};

}  // namespace flannel0
