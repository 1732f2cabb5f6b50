// Telling the service manager about the daemon's state (sd_notify(3)); Node has no AF_UNIX datagrams.
#pragma once

#include <string>

namespace flannel0 {

// Sends `state`, such as "READY=1", to the socket that $NOTIFY_SOCKET names: a path, or "@" and an abstract name.
// Returns 0 or -errno; EAGAIN where nobody reads it for two seconds.
int sdNotify(const std::string& socketName, const std::string& state);

}  // namespace flannel0
