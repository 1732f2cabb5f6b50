// Runs a fuzz target without a fuzzer: every file of the folders named, and seeded mutations of each, so that a
// machine with nothing but a compiler repeats what was found.
//
//   target-replay FOLDER...        FLANNEL0_SEED, FLANNEL0_ROUNDS (mutations of each file: 20 times as many)
#include <filesystem>
#include <fstream>
#include <iterator>

#include "../test/random.h"
#include "../test/reference.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace flannel0::fuzz {
namespace {

using test::Bytes;
using test::Random;

std::vector<Bytes> readFolder(const char* folder) {
  std::vector<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.is_regular_file()) paths.push_back(entry.path());
  }
  std::sort(paths.begin(), paths.end());
  std::vector<Bytes> inputs;
  for (const auto& path : paths) {
    std::ifstream file(path, std::ios::binary);
    inputs.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  }
  return inputs;
}

void run(const Bytes& input) {
  // Exactly as long as the input.
  const auto size = input.size();
  const std::unique_ptr<uint8_t[]> copy(new uint8_t[size]);
  std::copy(input.begin(), input.end(), copy.get());
  LLVMFuzzerTestOneInput(copy.get(), size);
}

Bytes mutate(Bytes input, const std::vector<Bytes>& all, Random& random) {
  for (uint32_t i = random.between(1, 4); i > 0; i--) {
    const auto size = static_cast<uint32_t>(input.size());
    switch (size == 0 ? 3 : random.below(5)) {
      case 0:
        input[random.below(size)] = random.among<uint8_t>({0, 1, 0x7f, 0x80, 0xff, random.byte()});
        break;
      case 1:
        input[random.below(size)] ^= static_cast<uint8_t>(1u << random.below(8));
        break;
      case 2:
        input.resize(random.below(size + 1));
        break;
      case 3: {
        const Bytes& other = all[random.below(static_cast<uint32_t>(all.size()))];
        input.insert(input.end(), other.begin(), other.end());
        break;
      }
      default:
        input.erase(input.begin() + random.below(size));
    }
  }
  return input;
}

}  // namespace
}  // namespace flannel0::fuzz

int main(int argc, char** argv) {
  using namespace flannel0;
  std::vector<test::Bytes> inputs;
  for (int i = 1; i < argc; i++) {
    for (test::Bytes& input : fuzz::readFolder(argv[i])) inputs.push_back(std::move(input));
  }
  if (inputs.empty()) {
    std::fprintf(stderr, "%s: no inputs; name the folders that hold them\n", argv[0]);
    return 2;
  }
  for (const test::Bytes& input : inputs) fuzz::run(input);
  test::Random random(90);
  const int mutations = test::rounds(20);
  for (const test::Bytes& input : inputs) {
    for (int i = 0; i < mutations; i++) fuzz::run(fuzz::mutate(input, inputs, random));
  }
  std::printf("%s: %zu inputs and %d mutations of each (FLANNEL0_SEED=%llu)\n", argv[0], inputs.size(), mutations,
              static_cast<unsigned long long>(test::seed()));
  return 0;
}
