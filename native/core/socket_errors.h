// Errors that the network reported about datagrams sent earlier (ICMP; ip(7), IP_RECVERR). A socket with error
// reporting hands the oldest one to the *next* call, whomever that concerns: it has to be taken off before a good peer
// pays for a dead one.
#pragma once

#include <cerrno>
#include <cstdint>

namespace flannel0 {

// Whether a failed send may have met an error that an earlier datagram caused: what ICMP messages are turned into.
inline bool mayBePending(int error) {
  switch (error) {
    case ECONNREFUSED:
    case EHOSTUNREACH:
    case ENETUNREACH:
    case EHOSTDOWN:
    case ENONET:
    case ENOPROTOOPT:
    case EPROTO:
    case EACCES:
    case EMSGSIZE:
    case EOPNOTSUPP:
      return true;
    default:
      return false;
  }
}

// Takes off the pending error and the error queue, at most `kMaxDrainedErrors` at a time. Returns how many ICMP messages
// there were; the others are this host's own (a datagram too long for its path).
uint32_t drainSocketErrors(int udpFd);

// More than the queue usually holds; the bound keeps a flood of ICMP from holding up packets.
inline constexpr uint32_t kMaxDrainedErrors = 256;

}  // namespace flannel0
