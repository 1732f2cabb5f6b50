// Longest prefix match for the packet path: an immutable, compressed multibit trie (stride 8) that readers walk without
// a lock, built by one writer.
//
// A node serves one byte of the address. Its 256 slots are four blocks of 64, each of 32 bytes, so that a lookup touches
// one cache line of a node: two bit maps and where the entries of the block begin. An entry is the child below a slot,
// or the value of the longest prefix *ending in this node* that covers it, stored as runs of equal values. A lookup
// remembers the last value it met on the way down, so nodes do not depend on each other and a change of one prefix
// rebuilds only the nodes on its path (4 at most for IPv4, 16 for IPv6), however many prefixes there are. Prefix length
// 0 ends in the root.
//
//   block:  children's bit map   0 1 0 0 1 ...     children   [ node node ]   side by side, not pointers
//           starts of runs       1 0 1 1 0 ...     values     [ - a - b ]
//
// The nodes below one node lie in one array: descending costs no pointer to be fetched first, and a change copies the
// array (128 bytes a node, 32 KiB at most).
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstdint>
#include <memory>
#include <new>
#include <utility>
#include <vector>

#include "epoch.h"

namespace flannel0 {

template <class T>
class PrefixTrie {
 public:
  // `domain` must outlive the trie.
  explicit PrefixTrie(EpochDomain& domain) : domain_(domain) { publish(); }
  // No reader may be left.
  ~PrefixTrie() {
    destroy(rootBuild_);
    freeAligned(const_cast<Node*>(root_.load()));
  }
  PrefixTrie(const PrefixTrie&) = delete;
  PrefixTrie& operator=(const PrefixTrie&) = delete;

  // Reader, inside its epoch: the value of the longest prefix that covers `address`, or nullptr.
  const T* lookup(const uint8_t* address) const {
    const Node* node = root_.load();
    const T* best = nullptr;
    for (;; address++) {
      const Block& block = node->blocks[*address >> 6];
      const uint32_t bit = *address & 63;
      const uint64_t upTo = ~uint64_t{0} >> (63 - bit);
      if (const T* value = block.values[std::popcount(block.runBits & upTo) - 1]) best = value;
      if ((block.childBits >> bit & 1) == 0) return best;
      node = block.children + std::popcount(block.childBits & upTo) - 1;
    }
  }

  // Writer. Sets or (value == nullptr) removes a prefix whose host bits are zero; returns the value it had before.
  // `length` is at most the width of the addresses that are looked up.
  // Readers see nothing until `publish`.
  const T* set(const uint8_t* prefix, size_t length, const T* value) {
    return setBelow(rootBuild_, prefix, length, 0, value);
  }

  // Writer. Compiles the changed nodes and swaps the root; retires what is no longer reachable into the domain. The
  // caller calls `domain.collect()` once all tries are published.
  void publish() {
    const Node* before = root_.load();
    if (before != nullptr && !rootBuild_.dirty) return;
    compile(rootBuild_);
    root_.store(new (allocateAligned(sizeof(Node))) Node(rootBuild_.compiled));
    retire(const_cast<Node*>(before));
  }

 private:
  static constexpr size_t kBlocks = 4;
  static constexpr uint32_t kSlots = 256;
  static constexpr size_t kCacheLine = 64;

  struct Node;
  struct Block {
    uint64_t childBits = 0;
    uint64_t runBits = 1;  // the first slot always starts a run
    const Node* children = nullptr;
    const T* const* values = &kNoValue;
  };
  struct Node {
    std::array<Block, kBlocks> blocks;
  };
  static_assert(sizeof(Block) == 32 && sizeof(Node) == 128);

  // What a block without values points to; being shared, it stays in the cache.
  static constexpr const T* kNoValue = nullptr;

  // A prefix that ends in the node: its bits there, left-aligned in the byte, and how many (0..8; 0 only in the root).
  struct Local {
    uint8_t length;
    uint8_t bits;
    const T* value;
    auto key() const { return std::pair(length, bits); }
  };

  struct BuildNode {
    std::vector<Local> locals;  // sorted by length, then bits: painting in this order lets the longest win
    std::vector<std::pair<uint8_t, std::unique_ptr<BuildNode>>> children;  // sorted by slot
    Node compiled;
    // What `compiled` points to, owned here.
    Node* childArray = nullptr;
    const T** valueArray = nullptr;
    bool dirty = true;
  };

  auto findChild(BuildNode& node, uint8_t slot) {
    return std::lower_bound(node.children.begin(), node.children.end(), slot,
                            [](const auto& child, uint8_t wanted) { return child.first < wanted; });
  }

  const T* setBelow(BuildNode& node, const uint8_t* prefix, size_t length, size_t depth, const T* value) {
    if (length <= (depth + 1) * 8) {
      const auto localLength = static_cast<uint8_t>(length - depth * 8);
      const T* before = setLocal(node, localLength, localLength == 0 ? uint8_t{0} : prefix[depth], value);
      node.dirty = node.dirty || before != value;
      return before;
    }
    const uint8_t slot = prefix[depth];
    auto child = findChild(node, slot);
    if (child == node.children.end() || child->first != slot) {
      if (value == nullptr) return nullptr;
      child = node.children.emplace(child, slot, std::make_unique<BuildNode>());
    }
    BuildNode& below = *child->second;
    const T* before = setBelow(below, prefix, length, depth + 1, value);
    node.dirty = node.dirty || below.dirty;
    if (below.locals.empty() && below.children.empty()) {
      retire(below.childArray);
      retire(below.valueArray);
      node.children.erase(child);
    }
    return before;
  }

  static const T* setLocal(BuildNode& node, uint8_t length, uint8_t bits, const T* value) {
    const auto at = std::lower_bound(node.locals.begin(), node.locals.end(), std::pair(length, bits),
                                     [](const Local& local, const auto& wanted) { return local.key() < wanted; });
    const bool exists = at != node.locals.end() && at->key() == std::pair(length, bits);
    const T* before = exists ? at->value : nullptr;
    if (value == nullptr) {
      if (exists) node.locals.erase(at);
    } else if (exists) {
      at->value = value;
    } else {
      node.locals.insert(at, Local{length, bits, value});
    }
    return before;
  }

  void compile(BuildNode& node) {
    for (auto& [slot, child] : node.children) {
      if (child->dirty) compile(*child);
    }
    node.compiled = Node{};
    compileChildren(node);
    compileValues(node);
    node.dirty = false;
  }

  void compileChildren(BuildNode& node) {
    retire(node.childArray);
    node.childArray = nullptr;
    if (node.children.empty()) return;
    node.childArray = static_cast<Node*>(allocateAligned(node.children.size() * sizeof(Node)));
    Node* next = node.childArray;
    for (const auto& [slot, child] : node.children) {
      Block& block = node.compiled.blocks[slot >> 6];
      if (block.childBits == 0) block.children = next;
      block.childBits |= uint64_t{1} << (slot & 63);
      new (next++) Node(child->compiled);
    }
  }

  void compileValues(BuildNode& node) {
    retire(node.valueArray);
    node.valueArray = nullptr;
    if (node.locals.empty()) return;
    std::array<const T*, kSlots> painted{};
    for (const Local& local : node.locals) {
      std::fill_n(painted.begin() + local.bits, size_t{1} << (8 - local.length), local.value);
    }
    std::array<const T*, kSlots> runs;
    size_t count = 0;
    std::array<size_t, kBlocks> firstRun{};
    for (uint32_t slot = 0; slot < kSlots; slot++) {
      const bool startsBlock = slot % 64 == 0;
      if (!startsBlock && painted[slot] == painted[slot - 1]) continue;
      if (startsBlock) firstRun[slot >> 6] = count;
      node.compiled.blocks[slot >> 6].runBits |= uint64_t{1} << (slot & 63);
      runs[count++] = painted[slot];
    }
    node.valueArray = static_cast<const T**>(allocateAligned(count * sizeof(const T*)));
    std::copy_n(runs.begin(), count, node.valueArray);
    for (size_t block = 0; block < kBlocks; block++) {
      node.compiled.blocks[block].values = node.valueArray + firstRun[block];
    }
  }

  // Aligned, so that no block lies across two cache lines.
  static void* allocateAligned(size_t bytes) { return ::operator new(bytes, std::align_val_t{kCacheLine}); }
  static void freeAligned(void* memory) { ::operator delete(memory, std::align_val_t{kCacheLine}); }

  void retire(void* memory) {
    if (memory != nullptr) domain_.retire(memory, freeAligned);
  }
  void retire(const T** values) { retire(static_cast<void*>(values)); }

  void destroy(BuildNode& node) {
    for (auto& [slot, child] : node.children) destroy(*child);
    freeAligned(node.childArray);
    freeAligned(node.valueArray);
  }

  EpochDomain& domain_;
  BuildNode rootBuild_;
  std::atomic<const Node*> root_{nullptr};
};

}  // namespace flannel0
