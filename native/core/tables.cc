#include "tables.h"

namespace flannel0 {

Tables::~Tables() {
  for (const auto& [key, shared] : hops_) delete shared;
}

void Tables::applyRoutes(const std::vector<RouteChange>& changes) {
  for (const RouteChange& change : changes) {
    const NextHop* next = change.hasNextHop ? acquireHop(change) : nullptr;
    const NextHop* before = routes_.set(change.destination, change.length, next);
    if (before != nullptr) releaseHop(before);
  }
  routes_.publish();
  domain_.collect();
}

void Tables::setLocalAddresses(const std::vector<std::array<uint8_t, 4>>& addresses) {
  static const LocalAddress kPresent;
  const std::set<std::array<uint8_t, 4>> wanted(addresses.begin(), addresses.end());
  for (const auto& address : local_) {
    if (!wanted.contains(address)) localAddresses_.set(address.data(), 32, nullptr);
  }
  for (const auto& address : wanted) localAddresses_.set(address.data(), 32, &kPresent);
  local_ = wanted;
  localAddresses_.publish();
  domain_.collect();
}

const NextHop* Tables::acquireHop(const RouteChange& change) {
  HopKey key{{change.nextHop, change.nextHop + change.nextHopBytes}, change.port};
  auto [at, fresh] = hops_.try_emplace(std::move(key), nullptr);
  if (fresh) at->second = new SharedHop{NextHop::of(change.nextHop, change.nextHopBytes, change.port)};
  at->second->routes++;
  return &at->second->hop;
}

void Tables::releaseHop(const NextHop* hop) {
  const uint8_t* bytes = hop->addressBytes();
  const auto at = hops_.find({{bytes, bytes + hop->addressByteCount()}, hop->port()});
  if (--at->second->routes > 0) return;
  domain_.retire(at->second, [](void* shared) { delete static_cast<SharedHop*>(shared); });
  hops_.erase(at);
}

}  // namespace flannel0
