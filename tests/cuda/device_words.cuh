// Memory that golden probes read and write: the device's under nvcc, else the host's.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "engine/instructions/primitives.cuh"

namespace gramless::cuda {

using Word = std::uint32_t;

#if defined(__CUDACC__)
// Plain allocations, as frameworks make them. Ends the program if CUDA fails.
class DeviceWords {
 public:
  explicit DeviceWords(std::size_t count) : bytes_(count * sizeof(Word)) {
    end_unless(cudaMalloc(&words_, bytes_));
    end_unless(cudaMemset(words_, 0xff, bytes_));
  }
  ~DeviceWords() { cudaFree(words_); }
  DeviceWords(const DeviceWords&) = delete;
  DeviceWords& operator=(const DeviceWords&) = delete;

  void fill(const std::vector<Word>& from) { end_unless(cudaMemcpy(words_, from.data(), bytes_, cudaMemcpyDefault)); }
  std::vector<Word> values() const {
    std::vector<Word> found(bytes_ / sizeof(Word));
    end_unless(cudaMemcpy(found.data(), words_, bytes_, cudaMemcpyDefault));
    return found;
  }
  Word* get() const { return words_; }

 private:
  static void end_unless(cudaError_t error) {
    if (error == cudaSuccess) return;
    std::fprintf(stderr, "golden_probes: %s\n", cudaGetErrorString(error));
    std::exit(2);
  }

  std::size_t bytes_;
  Word* words_ = nullptr;
};
inline const char* wait() { return error_text(cudaDeviceSynchronize()); }
#else
class DeviceWords {
 public:
  explicit DeviceWords(std::size_t count)
      : count_(count),
        words_(static_cast<Word*>(std::aligned_alloc(256, (count * sizeof(Word) + 255) / 256 * 256)), &std::free) {}

  void fill(const std::vector<Word>& from) { std::memcpy(words_.get(), from.data(), from.size() * sizeof(Word)); }
  std::vector<Word> values() const { return {words_.get(), words_.get() + count_}; }
  Word* get() const { return words_.get(); }

 private:
  std::size_t count_;
  std::unique_ptr<Word, decltype(&std::free)> words_;
};
inline const char* wait() { return nullptr; }
#endif

}  // namespace gramless::cuda
