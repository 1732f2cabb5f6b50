// Starting a thread of the core.
#pragma once

#include <pthread.h>

#include <csignal>
#include <system_error>
#include <thread>
#include <utility>

namespace flannel0 {

// Runs `body` on a new thread with all signals blocked: they belong to the main thread. Returns 0 or -errno (EAGAIN
// where a limit on threads or memory is reached), and then `thread` is as before.
template <class Body>
int startThread(std::thread& thread, Body body) {
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int result = 0;
  try {
    thread = std::thread(std::move(body));
  } catch (const std::system_error& error) {
    result = -error.code().value();
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return result;
}

}  // namespace flannel0
