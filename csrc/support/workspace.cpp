#include "support/workspace.hpp"

#include <atomic>
#include <memory>
#include <utility>

namespace gramless {
namespace {

struct Spare {
  AlignedBuffer buffer;
  std::size_t bytes;
};

std::atomic<std::size_t> limit{std::size_t{320} << 20};
std::atomic<Spare*> kept{nullptr};  // exchanged atomically: a lock could be left locked by a fork

std::unique_ptr<Spare> exchange_spare(std::unique_ptr<Spare> spare) {
  return std::unique_ptr<Spare>(kept.exchange(spare.release()));
}

}  // namespace

std::size_t workspace_limit() { return limit; }

void set_workspace_limit(std::size_t bytes) {
  limit = bytes;
  std::unique_ptr<Spare> spare = exchange_spare(nullptr);
  if (spare && spare->bytes <= bytes) exchange_spare(std::move(spare));
}

Workspace::Workspace(std::size_t bytes, BeyondLimit beyond) {
  if (bytes == 0 || (bytes > limit && beyond == BeyondLimit::none)) return;
  bytes_ = bytes;
  if (std::unique_ptr<Spare> spare = exchange_spare(nullptr); spare && spare->bytes >= bytes) {
    bytes_ = spare->bytes;
    buffer_ = std::move(spare->buffer);
  } else {
    buffer_ = AlignedBuffer(bytes);
  }
}

Workspace& Workspace::operator=(Workspace&& other) noexcept {
  std::swap(buffer_, other.buffer_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

Workspace::~Workspace() {
  if (bytes_ == 0 || bytes_ > limit) return;
  std::unique_ptr<Spare> before = exchange_spare(nullptr);
  if (before && before->bytes >= bytes_) {
    exchange_spare(std::move(before));
    return;
  }
  before.reset();
  exchange_spare(std::unique_ptr<Spare>(new (std::nothrow) Spare{std::move(buffer_), bytes_}));
}

}  // namespace gramless
