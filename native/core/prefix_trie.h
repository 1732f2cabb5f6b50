// Longest prefix match for the packet path: an immutable, compressed multibit trie (stride 8) that readers walk without
// a lock, built by one writer.
//
// A node serves one byte of the address and knows two things about each of its 256 slots, both as a bit map with the
// entries packed behind it: the child below the slot, and the value of the longest prefix *ending in this node* that
// covers the slot (stored as runs of equal values). A lookup remembers the last value it met on the way down, so nodes
// do not depend on each other and a change of one prefix rebuilds only the nodes on its path (4 at most for IPv4,
// 16 for IPv6), however many prefixes there are. Prefix length 0 ends in the root.
//
//   slot bit map   0 1 0 0 1 ...          children   [ * * ]
//   run starts     1 0 1 1 0 ...          values     [ - a - b ]
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstdint>
#include <cstdlib>
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
  ~PrefixTrie() { destroy(rootBuild_); }
  PrefixTrie(const PrefixTrie&) = delete;
  PrefixTrie& operator=(const PrefixTrie&) = delete;

  // Reader, inside its epoch: the value of the longest prefix that covers `address`, or nullptr.
  const T* lookup(const uint8_t* address) const {
    const Node* node = root_.load();
    const T* best = nullptr;
    for (size_t depth = 0;; depth++) {
      const uint32_t slot = address[depth];
      if (const T* value = node->valueAt(slot)) best = value;
      if (!node->hasChild(slot)) return best;
      node = node->childAt(slot);
    }
  }

  // Writer. Sets or (value == nullptr) removes a prefix whose host bits are zero; returns the value it had before.
  // `length` is at most the width of the addresses that are looked up.
  // Readers see nothing until `publish`.
  const T* set(const uint8_t* prefix, size_t length, const T* value) {
    return setBelow(rootBuild_, prefix, length, 0, value);
  }

  // Writer. Compiles the changed nodes and swaps the root; retires the nodes that are no longer reachable into the
  // domain. The caller calls `domain.collect()` once all tries are published.
  void publish() {
    if (rootBuild_.compiled != nullptr && !rootBuild_.dirty) return;
    compile(rootBuild_);
    root_.store(rootBuild_.compiled);
  }

 private:
  static constexpr size_t kWords = 4;
  static constexpr uint32_t kSlots = 256;

  struct Node {
    std::array<uint64_t, kWords> childBits{};
    std::array<uint64_t, kWords> runBits{};
    // Entries that the words before word i account for; at most 192, so a byte holds it.
    std::array<uint8_t, kWords> childrenBefore{};
    std::array<uint8_t, kWords> runsBefore{};
    uint16_t childCount = 0;
    uint16_t runCount = 0;

    bool hasChild(uint32_t slot) const { return (childBits[slot >> 6] >> (slot & 63) & 1) != 0; }
    const Node* childAt(uint32_t slot) const {
      const uint64_t below = childBits[slot >> 6] & ((uint64_t{1} << (slot & 63)) - 1);
      return children()[childrenBefore[slot >> 6] + static_cast<uint32_t>(std::popcount(below))];
    }
    const T* valueAt(uint32_t slot) const {
      const uint64_t upTo = runBits[slot >> 6] & (~uint64_t{0} >> (63 - (slot & 63)));
      return values()[runsBefore[slot >> 6] + static_cast<uint32_t>(std::popcount(upTo)) - 1];
    }

    const Node* const* children() const { return reinterpret_cast<const Node* const*>(this + 1); }
    const Node** children() { return reinterpret_cast<const Node**>(this + 1); }
    const T* const* values() const { return reinterpret_cast<const T* const*>(children() + childCount); }
    const T** values() { return reinterpret_cast<const T**>(children() + childCount); }
  };
  static_assert(sizeof(Node) % alignof(void*) == 0, "the entries follow the node directly");

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
    Node* compiled = nullptr;
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
      retireNode(below.compiled);
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
    std::array<const T*, kSlots> painted{};
    for (const Local& local : node.locals) {
      std::fill_n(painted.begin() + local.bits, size_t{1} << (8 - local.length), local.value);
    }
    uint16_t runs = 0;
    for (uint32_t slot = 0; slot < kSlots; slot++) {
      if (slot == 0 || painted[slot] != painted[slot - 1]) runs++;
    }
    Node* fresh = allocate(static_cast<uint16_t>(node.children.size()), runs);
    fill(*fresh, node, painted);
    retireNode(node.compiled);
    node.compiled = fresh;
    node.dirty = false;
  }

  static void fill(Node& fresh, const BuildNode& node, const std::array<const T*, kSlots>& painted) {
    size_t childIndex = 0;
    for (const auto& [slot, child] : node.children) {
      fresh.childBits[slot >> 6] |= uint64_t{1} << (slot & 63);
      fresh.children()[childIndex++] = child->compiled;
    }
    size_t runIndex = 0;
    for (uint32_t slot = 0; slot < kSlots; slot++) {
      if (slot != 0 && painted[slot] == painted[slot - 1]) continue;
      fresh.runBits[slot >> 6] |= uint64_t{1} << (slot & 63);
      fresh.values()[runIndex++] = painted[slot];
    }
    for (size_t word = 1; word < kWords; word++) {
      fresh.childrenBefore[word] =
          static_cast<uint8_t>(fresh.childrenBefore[word - 1] + std::popcount(fresh.childBits[word - 1]));
      fresh.runsBefore[word] = static_cast<uint8_t>(fresh.runsBefore[word - 1] + std::popcount(fresh.runBits[word - 1]));
    }
  }

  static Node* allocate(uint16_t children, uint16_t runs) {
    const size_t bytes = sizeof(Node) + sizeof(void*) * (size_t{children} + runs);
    Node* node = new (::operator new(bytes)) Node;
    node->childCount = children;
    node->runCount = runs;
    return node;
  }
  static void freeNode(void* node) { ::operator delete(node); }

  void retireNode(Node* node) {
    if (node != nullptr) domain_.retire(node, freeNode);
  }

  void destroy(BuildNode& node) {
    for (auto& [slot, child] : node.children) destroy(*child);
    if (node.compiled != nullptr) freeNode(node.compiled);
  }

  EpochDomain& domain_;
  BuildNode rootBuild_;
  std::atomic<const Node*> root_{nullptr};
};

}  // namespace flannel0
