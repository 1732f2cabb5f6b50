// Small helpers over Node-API (node_api.h): reading arguments, throwing errors. No logic of the forwarder's own.
#pragma once

#include <node_api.h>

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace flannel0 {

// The first N arguments of a call; those that were not given are undefined.
template <size_t N>
std::array<napi_value, N> argumentsOf(napi_env env, napi_callback_info info) {
  std::array<napi_value, N> values{};
  size_t count = N;
  napi_get_cb_info(env, info, &count, values.data(), nullptr, nullptr);
  return values;
}

// Throws an Error with `code` (errno name), `errno` (positive) and `syscall`; returns nullptr for `return throwErrno`.
napi_value throwErrno(napi_env env, int error, const char* syscall, const std::string& detail = {});
// Throws a TypeError: the caller broke the types declared in src/native/addon.ts.
napi_value throwType(napi_env env, const char* what);
// The same for readers: returns false.
bool failType(napi_env env, const char* what);
// Name of a positive errno, such as EBUSY.
const char* errnoName(int error);

// Readers: false (with a TypeError pending) where the value is not of the wanted kind.
bool readInt32(napi_env env, napi_value value, int32_t& out);
bool readBool(napi_env env, napi_value value, bool& out);
// Refuses NUL: system calls take what stands before it for the whole.
bool readString(napi_env env, napi_value value, std::string& out);
// View of a Uint8Array's bytes, valid until JavaScript runs again, which reading a property may do: a getter can detach
// them.
bool readBytes(napi_env env, napi_value value, uint8_t*& data, size_t& length);
bool readProperty(napi_env env, napi_value object, const char* name, napi_value& out);
bool readBoolProperty(napi_env env, napi_value object, const char* name, bool& out);
// Refuses more than `limit` elements: a length is one word in JavaScript, but memory here.
bool readInt32Array(napi_env env, napi_value value, uint32_t limit, std::vector<int32_t>& out);
bool isUndefined(napi_env env, napi_value value);

napi_value makeString(napi_env env, const std::string& text);
napi_value makeNumber(napi_env env, double number);
napi_value makeBool(napi_env env, bool value);
napi_value makeBytes(napi_env env, const uint8_t* data, size_t length);
napi_value makeUndefined(napi_env env);
napi_value makeStringArray(napi_env env, const std::vector<std::string>& strings);
void setProperty(napi_env env, napi_value object, const char* name, napi_value value);

// Calls a listener from a thread-safe function. What it throws becomes an uncaught exception: left pending, Node would
// turn it into a deprecation warning (DEP0168) and go on.
void callListener(napi_env env, napi_value listener, napi_value argument);

}  // namespace flannel0
