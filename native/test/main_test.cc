#include <cstdio>

#include "check.h"

int main() {
  std::printf("seed %llu (FLANNEL0_SEED)\n", static_cast<unsigned long long>(flannel0::test::seed()));
  for (const auto& each : flannel0::test::cases()) {
    each.run();
    std::printf("ok %s\n", each.name);
  }
  return 0;
}
