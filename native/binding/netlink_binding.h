// Native functions of the rtnetlink transport, as declared in src/native/addon.ts.
#pragma once

#include <node_api.h>

namespace flannel0 {

napi_value netlinkRequestBinding(napi_env env, napi_callback_info info);
napi_value startNetlinkMonitor(napi_env env, napi_callback_info info);
napi_value stopNetlinkMonitor(napi_env env, napi_callback_info info);

}  // namespace flannel0
