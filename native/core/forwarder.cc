#include "forwarder.h"

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
    WorkerOptions worker{};
    worker.index = i;
    worker.tunFd = options_.tunFds[i];
    worker.udpFd = options_.udpFds[i];
    std::copy(options_.deviceAddress.begin(), options_.deviceAddress.end(), worker.deviceAddress);
    worker.tables = &tables_;
    worker.domain = &tables_.domain();
    worker.counters = &counters_[i * kDirections];
    worker.onFailure = options_.onFailure;
    workers_.push_back(std::make_unique<Worker>(std::move(worker)));
    if (const int error = workers_.back()->start(); error < 0) {
      stop();
      return error;
    }
  }
  return 0;
}

void Forwarder::stop() { workers_.clear(); }

Evaluated Forwarder::evaluate(Direction direction, uint8_t* data, uint32_t length, AnswerBuffer& answer) {
  return direction == Direction::tunToUdp ? tunToUdp(data, length, tables_, options_.deviceAddress.data(), answer)
                                          : udpToTun(data, length, tables_);
}

}  // namespace flannel0
