#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "check.h"

// FLANNEL0_TEST runs only the tests whose names contain it.
int main() {
  const char* wanted = std::getenv("FLANNEL0_TEST");
  std::printf("seed %llu (FLANNEL0_SEED)\n", static_cast<unsigned long long>(flannel0::test::seed()));
  for (const auto& each : flannel0::test::cases()) {
    if (wanted != nullptr && std::strstr(each.name, wanted) == nullptr) continue;
    each.run();
    std::printf("ok %s\n", each.name);
  }
  return 0;
}
