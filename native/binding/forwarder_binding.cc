// Binding of the forwarder. All functions run on the JavaScript thread, which is the forwarder's control thread;
// worker failures come from worker threads through a thread-safe function.
#include "forwarder_binding.h"

#include <memory>

#include "../core/forwarder.h"
#include "napi_helpers.h"

namespace flannel0 {

namespace {

// Queues that the kernel's TUN driver gives one device (MAX_TAP_QUEUES), so more workers cannot be of use.
constexpr uint32_t kMaxWorkers = 256;
// Sockets of one worker: flows spread over more source ports gain nothing.
constexpr uint32_t kMaxSockets = 256;

// What a ForwarderHandle stands for. It is shut down with the handle (or the environment, whichever ends first); its
// memory stays as long as a counters view shows it.
struct Bound {
  napi_threadsafe_function events = nullptr;
  std::unique_ptr<Forwarder> forwarder;

  ~Bound() { shutDown(); }
  // Idempotent. Joins the workers before the event function goes away.
  void shutDown() {
    if (forwarder) forwarder->stop();
    if (events != nullptr) napi_release_threadsafe_function(std::exchange(events, nullptr), napi_tsfn_release);
  }
};

using Shared = std::shared_ptr<Bound>;

constexpr napi_type_tag kForwarderTag = {0x666c616e6e656c30, 0x666f727761726472};

void stopAtExit(void* shared) { (*static_cast<Shared*>(shared))->shutDown(); }

// The handle was collected. A counters view may keep `Bound` alive, but without the hook nothing would end its workers
// before the environment takes the event function away from under them.
void endHandle(napi_env env, void* shared, void*) {
  napi_remove_env_cleanup_hook(env, stopAtExit, shared);
  stopAtExit(shared);
  delete static_cast<Shared*>(shared);
}

// JavaScript thread: hands one event to the callback.
void deliverEvent(napi_env env, napi_value callback, void*, void* data) {
  const std::unique_ptr<WorkerEvent> told(static_cast<WorkerEvent*>(data));
  if (env == nullptr || callback == nullptr) return;
  napi_value event = nullptr;
  napi_create_object(env, &event);
  const bool stopped = told->kind == WorkerEvent::Kind::stopped;
  setProperty(env, event, "kind", makeString(env, stopped ? "worker-stopped" : "segmentation-off"));
  setProperty(env, event, "worker", makeNumber(env, static_cast<double>(told->worker)));
  setProperty(env, event, "operation", makeString(env, told->operation));
  setProperty(env, event, "code", makeString(env, errnoName(told->error)));
  callListener(env, callback, event);
}

bool readForwarder(napi_env env, napi_value value, Shared& out) {
  bool tagged = false;
  void* data = nullptr;
  if (napi_check_object_type_tag(env, value, &kForwarderTag, &tagged) != napi_ok || !tagged ||
      napi_get_value_external(env, value, &data) != napi_ok) {
    return failType(env, "expected a forwarder handle");
  }
  out = *static_cast<Shared*>(data);
  return true;
}

bool readIpv4(napi_env env, napi_value value, uint8_t* out) {
  uint8_t* bytes = nullptr;
  size_t length = 0;
  if (!readBytes(env, value, bytes, length)) return false;
  if (length != 4) {
    return failType(env, "expected an address of 4 bytes");
  }
  std::copy(bytes, bytes + 4, out);
  return true;
}

// Calls `read(element)` for each element of an array; false where one fails or `value` is no array.
template <class Read>
bool readEach(napi_env env, napi_value value, Read read) {
  uint32_t length = 0;
  if (napi_get_array_length(env, value, &length) != napi_ok) return failType(env, "expected an array");
  for (uint32_t i = 0; i < length; i++) {
    // Thousands of elements: without a scope of its own each one's handles would live until the call returns.
    napi_handle_scope scope;
    napi_open_handle_scope(env, &scope);
    napi_value element;
    const bool ok = napi_get_element(env, value, i, &element) == napi_ok && read(element);
    napi_close_handle_scope(env, scope);
    if (!ok) return false;
  }
  return true;
}

bool readOptions(napi_env env, napi_value object, ForwarderOptions& options, napi_value& onEvent) {
  napi_value value;
  std::vector<int32_t> tunFds;
  if (!readProperty(env, object, "tunFds", value) || !readInt32Array(env, value, kMaxWorkers, tunFds)) return false;
  if (!readProperty(env, object, "udpFds", value) || !readEach(env, value, [&](napi_value set) {
        std::vector<int32_t> fds;
        if (!readInt32Array(env, set, kMaxSockets, fds)) return false;
        if (fds.empty()) return failType(env, "expected at least one UDP socket for each worker");
        options.udpFds.emplace_back(fds.begin(), fds.end());
        return true;
      })) {
    return false;
  }
  if (tunFds.size() != options.udpFds.size()) return failType(env, "expected a set of UDP sockets for each TUN queue");
  options.tunFds.assign(tunFds.begin(), tunFds.end());
  if (!readProperty(env, object, "deviceAddress", value) || !readIpv4(env, value, options.deviceAddress.data())) {
    return false;
  }
  int32_t pollMicroseconds = 0;
  if (!readProperty(env, object, "tunOffloads", value) || !readTunOffloads(env, value, options.tun)) return false;
  if (!readBoolProperty(env, object, "udpSegmentation", options.udpSegmentation)) return false;
  if (!readBoolProperty(env, object, "udpCoalescing", options.udpCoalescing)) return false;
  if (!readProperty(env, object, "pollMicroseconds", value) || !readInt32(env, value, pollMicroseconds)) return false;
  if (pollMicroseconds < 0) return failType(env, "expected pollMicroseconds not to be negative");
  options.pollMicroseconds = static_cast<uint32_t>(pollMicroseconds);
  return readProperty(env, object, "onEvent", onEvent);
}

bool readRouteChange(napi_env env, napi_value object, RouteChange& change) {
  change = {};
  napi_value value;
  int32_t length = 0;
  if (!readProperty(env, object, "destination", value) || !readIpv4(env, value, change.destination)) return false;
  if (!readProperty(env, object, "length", value) || !readInt32(env, value, length)) return false;
  const uint32_t base = Ipv4{change.destination}.load16(0) << 16 | Ipv4{change.destination}.load16(2);
  if (length < 0 || length > 32 || (length < 32 && (base << length) != 0)) {
    return failType(env, "expected a prefix length of 0 to 32 without host bits behind it");
  }
  change.length = static_cast<uint8_t>(length);
  if (!readProperty(env, object, "nextHop", value)) return false;
  if (isUndefined(env, value)) return true;
  uint8_t* hop = nullptr;
  size_t hopLength = 0;
  int32_t port = 0;
  if (!readBytes(env, value, hop, hopLength)) return false;
  if (hopLength != 4 && hopLength != 16) return failType(env, "expected a next hop of 4 or 16 bytes");
  std::copy(hop, hop + hopLength, change.nextHop);
  change.nextHopBytes = static_cast<uint8_t>(hopLength);
  change.hasNextHop = true;
  if (!readProperty(env, object, "port", value) || !readInt32(env, value, port)) return false;
  if (port < 1 || port > 65535) return failType(env, "expected a port of 1 to 65535");
  change.port = static_cast<uint16_t>(port);
  return true;
}

}  // namespace

bool readTunOffloads(napi_env env, napi_value object, TunOffloads& out) {
  return readBoolProperty(env, object, "vnetHeader", out.vnetHeader) &&
         readBoolProperty(env, object, "checksum", out.checksum) && readBoolProperty(env, object, "tcp", out.tcp) &&
         readBoolProperty(env, object, "udp", out.udp);
}

napi_value createForwarder(napi_env env, napi_callback_info info) {
  const auto [argument] = argumentsOf<1>(env, info);
  ForwarderOptions options{};
  napi_value onEvent;
  if (!readOptions(env, argument, options, onEvent)) return nullptr;
  auto bound = std::make_shared<Bound>();
  if (napi_create_threadsafe_function(env, onEvent, nullptr, makeString(env, "flannel0 forwarder events"), 0, 1, nullptr,
                                      nullptr, nullptr, deliverEvent, &bound->events) != napi_ok) {
    return throwType(env, "expected onEvent to be a function");
  }
  // Waiting for a failure keeps no process alive.
  napi_unref_threadsafe_function(env, bound->events);
  napi_threadsafe_function events = bound->events;
  options.onEvent = [events](WorkerEvent told) {
    auto* copy = new WorkerEvent(told);
    if (napi_call_threadsafe_function(events, copy, napi_tsfn_nonblocking) != napi_ok) delete copy;
  };
  bound->forwarder = std::make_unique<Forwarder>(std::move(options));
  auto* shared = new Shared(bound);
  napi_value handle;
  napi_create_external(env, shared, endHandle, nullptr, &handle);
  napi_type_tag_object(env, handle, &kForwarderTag);
  napi_add_env_cleanup_hook(env, stopAtExit, shared);
  return handle;
}

napi_value startForwarder(napi_env env, napi_callback_info info) {
  const auto [argument] = argumentsOf<1>(env, info);
  Shared bound;
  if (!readForwarder(env, argument, bound)) return nullptr;
  if (const int error = bound->forwarder->start(); error < 0) return throwErrno(env, error, "start forwarder");
  return makeUndefined(env);
}

napi_value stopForwarder(napi_env env, napi_callback_info info) {
  const auto [argument] = argumentsOf<1>(env, info);
  Shared bound;
  if (!readForwarder(env, argument, bound)) return nullptr;
  bound->forwarder->stop();
  return makeUndefined(env);
}

napi_value applyRoutes(napi_env env, napi_callback_info info) {
  const auto arguments = argumentsOf<2>(env, info);
  Shared bound;
  if (!readForwarder(env, arguments[0], bound)) return nullptr;
  std::vector<RouteChange> changes;
  if (!readEach(env, arguments[1], [&](napi_value element) {
        return readRouteChange(env, element, changes.emplace_back());
      })) {
    return nullptr;
  }
  bound->forwarder->tables().applyRoutes(changes);
  return makeUndefined(env);
}

napi_value setLocalAddresses(napi_env env, napi_callback_info info) {
  const auto arguments = argumentsOf<2>(env, info);
  Shared bound;
  if (!readForwarder(env, arguments[0], bound)) return nullptr;
  std::vector<std::array<uint8_t, 4>> addresses;
  if (!readEach(env, arguments[1], [&](napi_value element) {
        return readIpv4(env, element, addresses.emplace_back().data());
      })) {
    return nullptr;
  }
  bound->forwarder->tables().setLocalAddresses(addresses);
  return makeUndefined(env);
}

napi_value forwarderCounters(napi_env env, napi_callback_info info) {
  const auto [argument] = argumentsOf<1>(env, info);
  Shared bound;
  if (!readForwarder(env, argument, bound)) return nullptr;
  const size_t blocks = bound->forwarder->workerCount() * kDirections;
  napi_value buffer = nullptr;
  napi_value array = nullptr;
  // The view keeps the counters' memory alive even after the handle is gone.
  auto* keep = new Shared(bound);
  const napi_status made = napi_create_external_arraybuffer(
      env, bound->forwarder->counters(), blocks * sizeof(DirectionCounters),
      [](napi_env, void*, void* hint) { delete static_cast<Shared*>(hint); }, keep, &buffer);
  if (made != napi_ok) {
    delete keep;
    return throwErrno(env, EINVAL, "create counters view");
  }
  napi_create_typedarray(env, napi_biguint64_array, blocks * kCountersPerDirection, buffer, 0, &array);
  return array;
}

napi_value forwarderUsesSegmentation(napi_env env, napi_callback_info info) {
  const auto [argument] = argumentsOf<1>(env, info);
  Shared bound;
  if (!readForwarder(env, argument, bound)) return nullptr;
  return makeBool(env, bound->forwarder->usesUdpSegmentation());
}

napi_value evaluate(napi_env env, napi_callback_info info) {
  const auto arguments = argumentsOf<3>(env, info);
  Shared bound;
  int32_t direction = 0;
  uint8_t* bytes = nullptr;
  size_t length = 0;
  if (!readForwarder(env, arguments[0], bound) || !readInt32(env, arguments[1], direction) ||
      !readBytes(env, arguments[2], bytes, length)) {
    return nullptr;
  }
  if (direction < 0 || direction > 1 || length > kPacketCapacity) return throwType(env, "expected a packet");
  std::vector<uint8_t> packet(bytes, bytes + length);
  AnswerBuffer answer;
  const Evaluated evaluated = bound->forwarder->evaluate(static_cast<Direction>(direction), packet.data(),
                                                         static_cast<uint32_t>(length), answer);
  napi_value result = nullptr;
  napi_create_object(env, &result);
  setProperty(env, result, "verdict", makeNumber(env, static_cast<double>(evaluated.verdict)));
  setProperty(env, result, "reason", makeNumber(env, static_cast<double>(evaluated.reason)));
  setProperty(env, result, "output", makeBytes(env, evaluated.data, evaluated.length));
  if (const NextHop* hop = evaluated.nextHop) {
    setProperty(env, result, "nextHop", makeBytes(env, hop->addressBytes(), hop->addressByteCount()));
    setProperty(env, result, "port", makeNumber(env, hop->port()));
  }
  return result;
}

}  // namespace flannel0
