// Native functions of the forwarder, as declared in src/native/addon.ts.
#pragma once

#include <node_api.h>

#include "../core/tun.h"

namespace flannel0 {

// The TunOffloads of addon.ts.
bool readTunOffloads(napi_env env, napi_value object, TunOffloads& out);

napi_value createForwarder(napi_env env, napi_callback_info info);
napi_value startForwarder(napi_env env, napi_callback_info info);
napi_value stopForwarder(napi_env env, napi_callback_info info);
napi_value applyRoutes(napi_env env, napi_callback_info info);
napi_value setLocalAddresses(napi_env env, napi_callback_info info);
napi_value forwarderCounters(napi_env env, napi_callback_info info);
napi_value forwarderUsesSegmentation(napi_env env, napi_callback_info info);
napi_value evaluate(napi_env env, napi_callback_info info);

}  // namespace flannel0
