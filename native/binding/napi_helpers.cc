#include "napi_helpers.h"

#include <cmath>
#include <cstring>

namespace flannel0 {

const char* errnoName(int error) {
  const char* name = strerrorname_np(error);
  return name == nullptr ? "UNKNOWN" : name;
}

napi_value throwErrno(napi_env env, int error, const char* syscall, const std::string& detail) {
  const int positive = error < 0 ? -error : error;
  std::string message = std::string(syscall) + ": " + errnoName(positive) + " (" + strerror(positive) + ")";
  if (!detail.empty()) message += ": " + detail;
  napi_value object;
  if (napi_create_error(env, nullptr, makeString(env, message), &object) != napi_ok) return nullptr;
  setProperty(env, object, "code", makeString(env, errnoName(positive)));
  setProperty(env, object, "errno", makeNumber(env, positive));
  setProperty(env, object, "syscall", makeString(env, syscall));
  napi_throw(env, object);
  return nullptr;
}

napi_value throwType(napi_env env, const char* what) {
  napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", what);
  return nullptr;
}

bool failType(napi_env env, const char* what) {
  throwType(env, what);
  return false;
}

bool readInt32(napi_env env, napi_value value, int32_t& out) {
  double number = 0;
  // Asked this way round, NaN is out of range as well; converting it would be undefined.
  const bool inRange =
      napi_get_value_double(env, value, &number) == napi_ok && number >= INT32_MIN && number <= INT32_MAX;
  if (!inRange || number != std::trunc(number)) return failType(env, "expected a 32-bit integer");
  out = static_cast<int32_t>(number);
  return true;
}

bool readBool(napi_env env, napi_value value, bool& out) {
  if (napi_get_value_bool(env, value, &out) == napi_ok) return true;
  return failType(env, "expected a boolean");
}

bool readString(napi_env env, napi_value value, std::string& out) {
  size_t length = 0;
  if (napi_get_value_string_utf8(env, value, nullptr, 0, &length) != napi_ok) {
    return failType(env, "expected a string");
  }
  out.resize(length);
  napi_get_value_string_utf8(env, value, out.data(), length + 1, &length);
  if (out.find('\0') != std::string::npos) return failType(env, "expected a string without NUL");
  return true;
}

bool readBytes(napi_env env, napi_value value, uint8_t*& data, size_t& length) {
  napi_typedarray_type type;
  void* bytes = nullptr;
  if (napi_get_typedarray_info(env, value, &type, &length, &bytes, nullptr, nullptr) != napi_ok ||
      type != napi_uint8_array) {
    return failType(env, "expected a Uint8Array");
  }
  data = static_cast<uint8_t*>(bytes);
  return true;
}

bool readProperty(napi_env env, napi_value object, const char* name, napi_value& out) {
  if (napi_get_named_property(env, object, name, &out) == napi_ok) return true;
  return failType(env, "expected an object");
}

bool readBoolProperty(napi_env env, napi_value object, const char* name, bool& out) {
  napi_value value;
  return readProperty(env, object, name, value) && readBool(env, value, out);
}

bool readInt32Array(napi_env env, napi_value value, uint32_t limit, std::vector<int32_t>& out) {
  uint32_t length = 0;
  if (napi_get_array_length(env, value, &length) != napi_ok) {
    return failType(env, "expected an array");
  }
  if (length > limit) return failType(env, "expected a shorter array");
  out.resize(length);
  for (uint32_t i = 0; i < length; i++) {
    napi_value element;
    if (napi_get_element(env, value, i, &element) != napi_ok || !readInt32(env, element, out[i])) return false;
  }
  return true;
}

bool isUndefined(napi_env env, napi_value value) {
  napi_valuetype type = napi_undefined;
  return napi_typeof(env, value, &type) == napi_ok && type == napi_undefined;
}

napi_value makeString(napi_env env, const std::string& text) {
  napi_value value = nullptr;
  napi_create_string_utf8(env, text.data(), text.size(), &value);
  return value;
}

napi_value makeNumber(napi_env env, double number) {
  napi_value value = nullptr;
  napi_create_double(env, number, &value);
  return value;
}

napi_value makeBool(napi_env env, bool value) {
  napi_value result = nullptr;
  napi_get_boolean(env, value, &result);
  return result;
}

napi_value makeBytes(napi_env env, const uint8_t* data, size_t length) {
  void* copy = nullptr;
  napi_value buffer = nullptr;
  napi_value array = nullptr;
  if (napi_create_arraybuffer(env, length, &copy, &buffer) != napi_ok) return nullptr;
  if (length > 0) std::memcpy(copy, data, length);
  napi_create_typedarray(env, napi_uint8_array, length, buffer, 0, &array);
  return array;
}

napi_value makeUndefined(napi_env env) {
  napi_value value = nullptr;
  napi_get_undefined(env, &value);
  return value;
}

napi_value makeStringArray(napi_env env, const std::vector<std::string>& strings) {
  napi_value array = nullptr;
  napi_create_array_with_length(env, strings.size(), &array);
  for (uint32_t i = 0; i < strings.size(); i++) napi_set_element(env, array, i, makeString(env, strings[i]));
  return array;
}

void setProperty(napi_env env, napi_value object, const char* name, napi_value value) {
  if (value != nullptr) napi_set_named_property(env, object, name, value);
}

void callListener(napi_env env, napi_value listener, napi_value argument) {
  if (napi_call_function(env, makeUndefined(env), listener, 1, &argument, nullptr) != napi_pending_exception) return;
  napi_value thrown = nullptr;
  if (napi_get_and_clear_last_exception(env, &thrown) == napi_ok) napi_fatal_exception(env, thrown);
}

}  // namespace flannel0
