// The native function table, in the order of src/native/addon.ts.
#include <node_api.h>

#include <cerrno>
#include <ctime>

#include "../core/counters.h"
#include "../core/fd.h"
#include "../core/instance_lock.h"
#include "../core/sd_notify.h"
#include "../core/tun.h"
#include "../core/udp_socket.h"
#include "../core/verdict.h"
#include "forwarder_binding.h"
#include "napi_helpers.h"
#include "netlink_binding.h"

namespace flannel0 {

namespace {

napi_value openTunQueueBinding(napi_env env, napi_callback_info info) {
  const auto [object] = argumentsOf<1>(env, info);
  napi_value value;
  TunQueueOptions options{};
  if (!readProperty(env, object, "name", value) || !readString(env, value, options.name)) return nullptr;
  if (!readBoolProperty(env, object, "exclusive", options.exclusive)) return nullptr;
  if (!readBoolProperty(env, object, "multiQueue", options.multiQueue)) return nullptr;
  if (!readProperty(env, object, "offloads", value) || !readTunOffloads(env, value, options.offloads)) return nullptr;
  const char* failed = "";
  const int fd = openTunQueue(options, failed);
  if (fd < 0) return throwErrno(env, fd, failed);
  napi_value offloads = nullptr;
  napi_create_object(env, &offloads);
  setProperty(env, offloads, "vnetHeader", makeBool(env, options.offloads.vnetHeader));
  setProperty(env, offloads, "checksum", makeBool(env, options.offloads.checksum));
  setProperty(env, offloads, "tcp", makeBool(env, options.offloads.tcp));
  setProperty(env, offloads, "udp", makeBool(env, options.offloads.udp));
  napi_value queue = nullptr;
  napi_create_object(env, &queue);
  setProperty(env, queue, "fd", makeNumber(env, fd));
  setProperty(env, queue, "offloads", offloads);
  return queue;
}

napi_value openUdpSocketBinding(napi_env env, napi_callback_info info) {
  const auto [object] = argumentsOf<1>(env, info);
  napi_value value;
  UdpSocketOptions options{};
  uint8_t* address = nullptr;
  int32_t port = 0;
  if (!readProperty(env, object, "port", value) || !readInt32(env, value, port)) return nullptr;
  if (!readBoolProperty(env, object, "reusePort", options.reusePort)) return nullptr;
  if (!readBoolProperty(env, object, "segmentation", options.segmentation)) return nullptr;
  if (!readBoolProperty(env, object, "coalescing", options.coalescing)) return nullptr;
  if (!readProperty(env, object, "receiveBufferBytes", value) ||
      !readInt32(env, value, options.receiveBufferBytes) || !readProperty(env, object, "sendBufferBytes", value) ||
      !readInt32(env, value, options.sendBufferBytes)) {
    return nullptr;
  }
  // Last, so that no getter can take the bytes away before they are used.
  if (!readProperty(env, object, "address", value) || !readBytes(env, value, address, options.addressBytes)) {
    return nullptr;
  }
  if (options.addressBytes != 4 && options.addressBytes != 16) return throwType(env, "expected 4 or 16 address bytes");
  if (port < 0 || port > 65535) return throwType(env, "expected a port of 0 to 65535");
  options.address = address;
  options.port = static_cast<uint16_t>(port);
  const char* failed = "";
  const int fd = openUdpSocket(options, failed);
  if (fd < 0) return throwErrno(env, fd, failed);
  napi_value opened = nullptr;
  napi_create_object(env, &opened);
  setProperty(env, opened, "fd", makeNumber(env, fd));
  setProperty(env, opened, "segmentation", makeBool(env, options.segmentation));
  setProperty(env, opened, "coalescing", makeBool(env, options.coalescing));
  return opened;
}

napi_value closeFdBinding(napi_env env, napi_callback_info info) {
  int32_t fd = 0;
  if (!readInt32(env, argumentsOf<1>(env, info)[0], fd)) return nullptr;
  // close(2): the descriptor is gone even after EINTR; it must not be closed again.
  if (close(fd) < 0 && errno != EINTR) return throwErrno(env, errno, "close");
  return makeUndefined(env);
}

napi_value acquireLockBinding(napi_env env, napi_callback_info info) {
  std::string name;
  if (!readString(env, argumentsOf<1>(env, info)[0], name)) return nullptr;
  pid_t holder = 0;
  const char* failed = "";
  const int fd = acquireInstanceLock(name, holder, failed);
  if (fd >= 0) return makeNumber(env, fd);
  throwErrno(env, fd, failed);
  if (fd != -EADDRINUSE) return nullptr;
  napi_value error;
  if (napi_get_and_clear_last_exception(env, &error) != napi_ok) return nullptr;
  setProperty(env, error, "holderPid", makeNumber(env, holder));
  napi_throw(env, error);
  return nullptr;
}

template <class Names>
napi_value names(napi_env env, const Names& list) {
  return makeStringArray(env, std::vector<std::string>(list.begin(), list.end()));
}

napi_value verdictNames(napi_env env, napi_callback_info) { return names(env, kVerdictNames); }
napi_value dropReasonNames(napi_env env, napi_callback_info) { return names(env, kDropReasonNames); }
napi_value counterNamesBinding(napi_env env, napi_callback_info) { return names(env, counterNames()); }

napi_value bootTimeSeconds(napi_env env, napi_callback_info) {
  timespec now{};
  if (clock_gettime(CLOCK_BOOTTIME, &now) < 0) return throwErrno(env, errno, "clock_gettime");
  return makeNumber(env, static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9);
}

napi_value sdNotifyBinding(napi_env env, napi_callback_info info) {
  const auto arguments = argumentsOf<2>(env, info);
  std::string socketName;
  std::string state;
  if (!readString(env, arguments[0], socketName) || !readString(env, arguments[1], state)) return nullptr;
  if (const int error = sdNotify(socketName, state); error < 0) return throwErrno(env, error, "sd_notify");
  return makeUndefined(env);
}

struct Entry {
  const char* name;
  napi_callback function;
};

constexpr Entry kTable[] = {
    {"openTunQueue", openTunQueueBinding},
    {"openUdpSocket", openUdpSocketBinding},
    {"closeFd", closeFdBinding},
    {"acquireLock", acquireLockBinding},
    {"netlinkRequest", netlinkRequestBinding},
    {"startNetlinkMonitor", startNetlinkMonitor},
    {"stopNetlinkMonitor", stopNetlinkMonitor},
    {"createForwarder", createForwarder},
    {"startForwarder", startForwarder},
    {"stopForwarder", stopForwarder},
    {"applyRoutes", applyRoutes},
    {"setLocalAddresses", setLocalAddresses},
    {"forwarderCounters", forwarderCounters},
    {"forwarderUsesSegmentation", forwarderUsesSegmentation},
    {"evaluate", evaluate},
    {"verdictNames", verdictNames},
    {"dropReasonNames", dropReasonNames},
    {"counterNames", counterNamesBinding},
    {"bootTimeSeconds", bootTimeSeconds},
    {"sdNotify", sdNotifyBinding},
};

napi_value initialise(napi_env env, napi_value exports) {
  for (const Entry& entry : kTable) {
    napi_value function;
    if (napi_create_function(env, entry.name, NAPI_AUTO_LENGTH, entry.function, nullptr, &function) != napi_ok) {
      return nullptr;
    }
    setProperty(env, exports, entry.name, function);
  }
  return exports;
}

}  // namespace

}  // namespace flannel0

NAPI_MODULE_INIT() { return flannel0::initialise(env, exports); }
