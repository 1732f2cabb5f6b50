#include "netlink_binding.h"

#include <atomic>
#include <memory>
#include <utility>

#include "../core/netlink.h"
#include "napi_helpers.h"

namespace flannel0 {

namespace {

using Messages = std::vector<NetlinkMessage>;

// Deliveries that may wait for JavaScript; beyond it they are dropped and the consumer is told to read anew.
constexpr size_t kQueueLimit = 1024;

struct BoundMonitor {
  napi_threadsafe_function deliver = nullptr;
  // Set where the queue was full; the next delivery, whatever it held, becomes an empty list.
  std::atomic<bool> lost{false};
  std::unique_ptr<NetlinkMonitor> monitor;

  // Idempotent. Abort: what still waits in the queue is freed and never reaches a listener that has unsubscribed.
  void shutDown() {
    if (monitor) monitor->stop();
    if (deliver != nullptr) napi_release_threadsafe_function(std::exchange(deliver, nullptr), napi_tsfn_abort);
  }
};

constexpr napi_type_tag kMonitorTag = {0x666c616e6e656c30, 0x6e65746c696e6b6d};

napi_value makeMessages(napi_env env, const Messages& messages) {
  napi_value array = nullptr;
  napi_create_array_with_length(env, messages.size(), &array);
  for (uint32_t i = 0; i < messages.size(); i++) {
    napi_set_element(env, array, i, makeBytes(env, messages[i].data(), messages[i].size()));
  }
  return array;
}

// JavaScript thread. Without an environment the queue is only being emptied, and the monitor may be gone. The listener
// may stop the monitor, so that nothing of it is touched afterwards.
void deliverMessages(napi_env env, napi_value callback, void* context, void* data) {
  const std::unique_ptr<Messages> messages(static_cast<Messages*>(data));
  if (env == nullptr || callback == nullptr) return;
  const bool lost = static_cast<BoundMonitor*>(context)->lost.exchange(false);
  callListener(env, callback, makeMessages(env, lost ? Messages{} : *messages));
}

bool post(BoundMonitor& bound, Messages messages) {
  auto copy = std::make_unique<Messages>(std::move(messages));
  if (napi_call_threadsafe_function(bound.deliver, copy.get(), napi_tsfn_nonblocking) != napi_ok) return false;
  copy.release();
  return true;
}

// Monitor thread.
void enqueue(BoundMonitor& bound, Messages messages) {
  if (post(bound, std::move(messages))) return;
  bound.lost = true;
  // JavaScript may have emptied the queue before it could see the mark, and nothing else may ever come. If the queue is
  // full again, some delivery will still see it.
  post(bound, {});
}

void shutDownAtExit(void* bound) { static_cast<BoundMonitor*>(bound)->shutDown(); }

void destroyMonitor(napi_env env, void* data, void*) {
  auto* bound = static_cast<BoundMonitor*>(data);
  napi_remove_env_cleanup_hook(env, shutDownAtExit, bound);
  bound->shutDown();
  delete bound;
}

}  // namespace

napi_value netlinkRequestBinding(napi_env env, napi_callback_info info) {
  const auto arguments = argumentsOf<2>(env, info);
  int32_t protocol = 0;
  uint8_t* bytes = nullptr;
  size_t length = 0;
  if (!readInt32(env, arguments[0], protocol) || !readBytes(env, arguments[1], bytes, length)) return nullptr;
  Messages answer;
  std::string explanation;
  const int result = netlinkRequest(protocol, {bytes, bytes + length}, answer, explanation);
  if (result < 0) return throwErrno(env, result, "netlink", explanation);
  return makeMessages(env, answer);
}

napi_value startNetlinkMonitor(napi_env env, napi_callback_info info) {
  const auto arguments = argumentsOf<2>(env, info);
  int32_t groups = 0;
  if (!readInt32(env, arguments[0], groups)) return nullptr;
  auto bound = std::make_unique<BoundMonitor>();
  if (napi_create_threadsafe_function(env, arguments[1], nullptr, makeString(env, "flannel0 netlink monitor"),
                                      kQueueLimit, 1, nullptr, nullptr, bound.get(), deliverMessages,
                                      &bound->deliver) != napi_ok) {
    return throwType(env, "expected onMessages to be a function");
  }
  napi_unref_threadsafe_function(env, bound->deliver);
  BoundMonitor* raw = bound.get();
  raw->monitor = std::make_unique<NetlinkMonitor>([raw](Messages messages) { enqueue(*raw, std::move(messages)); });
  if (const int error = raw->monitor->start(static_cast<uint32_t>(groups)); error < 0) {
    raw->shutDown();
    return throwErrno(env, error, "netlink monitor");
  }
  napi_value handle;
  napi_create_external(env, bound.release(), destroyMonitor, nullptr, &handle);
  napi_type_tag_object(env, handle, &kMonitorTag);
  napi_add_env_cleanup_hook(env, shutDownAtExit, raw);
  return handle;
}

napi_value stopNetlinkMonitor(napi_env env, napi_callback_info info) {
  const auto [argument] = argumentsOf<1>(env, info);
  bool tagged = false;
  void* data = nullptr;
  if (napi_check_object_type_tag(env, argument, &kMonitorTag, &tagged) != napi_ok || !tagged ||
      napi_get_value_external(env, argument, &data) != napi_ok) {
    return throwType(env, "expected a netlink monitor handle");
  }
  static_cast<BoundMonitor*>(data)->shutDown();
  return makeUndefined(env);
}

}  // namespace flannel0
