// Epoch-based reclamation: lets packet workers read immutable structures without a lock while one writer replaces them.
//
//   reader (one slot per worker)              writer (one thread)
//   ----------------------------              -------------------
//   enter: slot = global epoch                swap the root pointer
//   load the root, use what it reaches        retire(what the new root no longer reaches)
//   leave: slot = 0 (idle)                    collect(): free what was retired at an epoch that no reader is below
//
// All operations on `global_`, the slots and the root pointers are sequentially consistent: either the reader's slot is
// visible to the writer's `collect`, or the writer's swap is visible to the reader's load of the root.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

namespace flannel0 {

class EpochDomain {
 public:
  explicit EpochDomain(size_t readers) : slots_(std::make_unique<Slot[]>(readers)), readers_(readers) {}
  EpochDomain(const EpochDomain&) = delete;
  EpochDomain& operator=(const EpochDomain&) = delete;
  // No reader may be left: frees everything.
  ~EpochDomain() {
    for (const Retired& item : retired_) item.free(item.object);
    for (const Retired& item : pending_) item.free(item.object);
  }

  void enter(size_t reader) { slots_[reader].active.store(global_.load()); }
  void leave(size_t reader) { slots_[reader].active.store(0); }

  // Writer only. `object` is unreachable for readers that enter from now on.
  void retire(void* object, void (*free)(void*)) { pending_.push_back({object, free, 0}); }

  // Writer only: to be called after the roots were swapped. Closes the current epoch and frees what it may.
  void collect() {
    const uint64_t epoch = global_.fetch_add(1) + 1;
    for (Retired& item : pending_) {
      item.epoch = epoch;
      retired_.push_back(item);
    }
    pending_.clear();
    uint64_t oldest = epoch;
    for (size_t i = 0; i < readers_; i++) {
      const uint64_t active = slots_[i].active.load();
      if (active != 0) oldest = std::min(oldest, active);
    }
    while (!retired_.empty() && retired_.front().epoch <= oldest) {
      retired_.front().free(retired_.front().object);
      retired_.pop_front();
    }
  }

  size_t retiredCount() const { return retired_.size() + pending_.size(); }

 private:
  struct alignas(64) Slot {
    std::atomic<uint64_t> active{0};
  };
  struct Retired {
    void* object;
    void (*free)(void*);
    uint64_t epoch;
  };

  std::atomic<uint64_t> global_{1};
  std::unique_ptr<Slot[]> slots_;
  size_t readers_;
  std::vector<Retired> pending_;
  std::deque<Retired> retired_;
};

// Marks the calling reader as active for a scope.
class EpochGuard {
 public:
  EpochGuard(EpochDomain& domain, size_t reader) : domain_(domain), reader_(reader) { domain_.enter(reader_); }
  ~EpochGuard() { domain_.leave(reader_); }
  EpochGuard(const EpochGuard&) = delete;
  EpochGuard& operator=(const EpochGuard&) = delete;

 private:
  EpochDomain& domain_;
  size_t reader_;
};

}  // namespace flannel0
