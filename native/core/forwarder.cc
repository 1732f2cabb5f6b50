#include "forwarder.h"

#include <algorithm>

#include "tun_to_udp.h"
#include "udp_to_tun.h"

namespace flannel0 {

Forwarder::Forwarder(ForwarderOptions options)
    : options_(std::move(options)),
      tables_(options_.tunFds.size()),
      counters_(std::make_unique<DirectionCounters[]>(options_.tunFds.size() * kDirections)) {}

int Forwarder::start() {
  if (!workers_.empty()) return -EALREADY;
  for (size_t i = 0; i < workerCount(); i++) {
    const PathIo io{i, options_.tunFds[i], options_.udpFds[i], options_.deviceAddress, &tables_, &tables_.domain(),
                    options_.tun, nullptr, options_.udpCoalescing};
    WorkerOptions worker{io, options_.udpSegmentation, &counters_[i * kDirections], options_.pollMicroseconds,
                         options_.onEvent};
    workers_.push_back(std::make_unique<Worker>(std::move(worker)));
    if (const int error = workers_.back()->start(); error < 0) {
      stop();
      return error;
    }
  }
  return 0;
}

void Forwarder::stop() { workers_.clear(); }

bool Forwarder::usesUdpSegmentation() const {
  return std::all_of(workers_.begin(), workers_.end(),
                     [](const std::unique_ptr<Worker>& worker) { return worker->usesUdpSegmentation(); });
}

Evaluated Forwarder::evaluate(Direction direction, uint8_t* data, uint32_t length, AnswerBuffer& answer) {
  return direction == Direction::tunToUdp ? tunToUdp(data, length, tables_, options_.deviceAddress.data(), answer)
                                          : udpToTun(data, length, tables_);
}

}  // namespace flannel0
