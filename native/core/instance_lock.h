// A lock that only one process of a network namespace can hold, released by the kernel when the process ends.
//
// It is a listening AF_UNIX socket with an abstract name (unix(7)): abstract names are scoped to the network namespace,
// just as the device name and the UDP port that the lock stands for, leave no file behind, and tell the holder's pid
// (SO_PEERCRED). A local user could squat the name; the same user could squat the UDP port itself.
#pragma once

#include <sys/types.h>

#include <string>

namespace flannel0 {

// Returns the lock's descriptor or -errno. With -EADDRINUSE, `holder` is the pid that holds it, or 0 where that is not
// visible from this pid namespace. `name`: 1..107 bytes.
int acquireInstanceLock(const std::string& name, pid_t& holder, const char*& failed);

}  // namespace flannel0
