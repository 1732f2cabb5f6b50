// Writes the seed corpus: generated packets, and those of captures (classic pcap, raw IP or Ethernet).
//
//   make-corpus CORPUS_FOLDER CAPTURE...
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "../core/vnet_header.h"
#include "../test/streams.h"

using namespace flannel0;
using test::Bytes;
using test::Fields;
using test::Random;

namespace {

// Inputs stay small: a mutation then meets a header, not payload.
constexpr size_t kMaxPacket = 200;

std::string folder;

void append(Bytes& to, const Bytes& bytes) { to.insert(to.end(), bytes.begin(), bytes.end()); }

Bytes piece(const Bytes& bytes) {
  Bytes result = {static_cast<uint8_t>(bytes.size()), static_cast<uint8_t>(bytes.size() >> 8)};
  append(result, bytes);
  return result;
}

Bytes bytesOf(const VnetHeader& vnet) {
  Bytes bytes(kVnetHeaderBytes);
  std::memcpy(bytes.data(), &vnet, kVnetHeaderBytes);
  return bytes;
}

void save(const std::string& target, const std::string& name, const Bytes& input) {
  std::filesystem::create_directories(folder + "/" + target);
  std::ofstream file(folder + "/" + target + "/" + name, std::ios::binary);
  file.write(reinterpret_cast<const char*>(input.data()), static_cast<std::streamsize>(input.size()));
}

uint32_t little32(const Bytes& file, size_t at) {
  return static_cast<uint32_t>(file.at(at) | file.at(at + 1) << 8 | file.at(at + 2) << 16) |
         static_cast<uint32_t>(file.at(at + 3)) << 24;
}

std::vector<Bytes> readPcap(const char* path) {
  std::ifstream stream(path, std::ios::binary);
  const Bytes file{std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
  std::vector<Bytes> packets;
  if (file.size() < 24 || little32(file, 0) != 0xa1b2c3d4) {
    std::fprintf(stderr, "%s: no little-endian pcap file\n", path);
    std::exit(1);
  }
  const size_t linkHeader = little32(file, 20) == 1 ? 14 : 0;
  for (size_t at = 24; at + 16 <= file.size();) {
    const size_t length = little32(file, at + 8);
    const auto start = file.begin() + static_cast<long>(at + 16);
    if (length > linkHeader) packets.emplace_back(start + static_cast<long>(linkHeader), start + static_cast<long>(length));
    at += 16 + length;
  }
  return packets;
}

void savePackets(const std::string& name, const std::vector<Bytes>& packets) {
  Bytes batch = {3};
  Bytes frames = {2};
  Bytes datagrams = {1};
  for (const Bytes& packet : packets) {
    append(batch, {0});
    append(batch, piece(packet));
    append(frames, piece(packet));
    append(datagrams, piece(packet));
  }
  save("coalesce", name, batch);
  save("path", name + "-frames", frames);
  save("path", name + "-datagrams", datagrams);
  save("header", name, packets.front());
}

void saveSuperPackets(Random& random, int number) {
  Bytes frames = {0};
  for (int i = 0; i < 3; i++) {
    Fields super = test::anyHeaders(random);
    super.payload = test::anyBytes(random, random.between(2, kMaxPacket));
    const bool isSuper = i < 2;
    const uint8_t kind = super.isTcp ? VnetHeader::kGsoTcp4 : VnetHeader::kGsoUdpL4;
    const VnetHeader vnet{VnetHeader::kNeedsChecksum, isSuper ? kind : VnetHeader::kGsoNone,
                          static_cast<uint16_t>(super.headerLength()), static_cast<uint16_t>(random.between(1, 90)),
                          static_cast<uint16_t>(super.transportOffset()), static_cast<uint16_t>(super.isTcp ? 16 : 6)};
    Bytes frame = bytesOf(vnet);
    append(frame, test::encodePartial(super));
    append(frames, piece(frame));
    if (i == 0) save("segment", "generated-" + std::to_string(number), frame);
  }
  save("path", "super-packets-" + std::to_string(number), frames);
}

void saveTrain(Random& random, int number) {
  Fields fields = test::anyHeaders(random);
  if (fields.isTcp) fields.flags = test::kAck;
  fields.payload = test::anyBytes(random, 40);
  Bytes train = {3, 3};
  append(train, piece(test::encode(fields)));
  for (int i = 0; i < 5; i++) {
    append(train, {4});
    append(train, piece(test::anyBytes(random, i == 4 ? 17 : 40)));
  }
  save("coalesce", "train-" + std::to_string(number), train);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: make-corpus CORPUS_FOLDER CAPTURE...\n");
    return 2;
  }
  folder = argv[1];
  Random random(100);
  for (int i = 0; i < 8; i++) {
    saveSuperPackets(random, i);
    saveTrain(random, i);
    test::Streams streams(random, 2);
    std::vector<Bytes> packets = streams.batch(40);
    std::erase_if(packets, [](const Bytes& packet) { return packet.size() > kMaxPacket; });
    packets.resize(std::min<size_t>(packets.size(), 8));
    if (!packets.empty()) savePackets("generated-" + std::to_string(i), packets);
  }
  for (int i = 2; i < argc; i++) {
    std::vector<Bytes> packets = readPcap(argv[i]);
    std::erase_if(packets, [](const Bytes& packet) { return packet.size() > 2 * kMaxPacket; });
    packets.resize(std::min<size_t>(packets.size(), 6));
    if (!packets.empty()) savePackets("capture-" + std::filesystem::path(argv[i]).stem().string(), packets);
  }
  return 0;
}
