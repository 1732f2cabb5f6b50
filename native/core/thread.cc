#include "thread.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>

namespace flannel0 {

namespace {

// sched_setattr(2), first version; linux/sched/types.h and the C library's sched.h exclude each other.
struct SchedAttr {
  uint32_t size;
  uint32_t policy;
  uint64_t flags;
  int32_t nice;
  uint32_t priority;
  uint64_t runtime;  // SCHED_OTHER: the slice, in nanoseconds
  uint64_t deadline;
  uint64_t period;
};
static_assert(sizeof(SchedAttr) == 48);

// The least that the kernel takes.
constexpr uint64_t kSliceNanoseconds = 100'000;

}  // namespace

void requestShortSlices() {
  SchedAttr attributes{};
  attributes.size = sizeof attributes;
  if (syscall(SYS_sched_getattr, 0, &attributes, sizeof attributes, 0) < 0) return;
  attributes.runtime = kSliceNanoseconds;
  syscall(SYS_sched_setattr, 0, &attributes, 0);
}

}  // namespace flannel0
