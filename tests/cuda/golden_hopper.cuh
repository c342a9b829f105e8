// Probes of the primitives that only compute capability 9.0 has: what a copy writes where, and what a warpgroup's
// products of two such boxes, and of registers with one, are, with the descriptors of
// engine/product/dot_tile_hopper.cuh.
#pragma once

#include "engine/product/resident_rows_hopper.cuh"

namespace gramless::cuda {

constexpr int probe_threads = warpgroup_threads, probe_box_rows = 16;

// A box that begins a row above the matrix and ends past its last column: 512 words.
template <class Word>
__global__ void __launch_bounds__(probe_threads) probe_box(const __grid_constant__ TensorMap map, Word* out) {
  if constexpr (compiled_for_hopper) {
    Word* const box = shared_memory<Word>();
    Barrier& landed = *reinterpret_cast<Barrier*>(box + probe_box_rows * box_width / 2);
    if (threadIdx.x == 0) {
      initialize_barrier(landed, 1);
      publish_barriers();
      arrive_expecting(landed, probe_box_rows * box_row_bytes);
      copy_box(box, map, -1, 8, landed);
    }
    __syncthreads();  // the barrier is initialized
    wait_for_phase(landed, 0);
    for (int i = 0; i < 4; i++) out[4 * threadIdx.x + i] = box[4 * threadIdx.x + i];
  } else {
    trap();
  }
}

// Every 16th of a thread's sums, 512 words in all.
template <class Word>
__device__ void store_some(const float (&sums)[64], Word* out) {
#pragma unroll
  for (int i = 0; i < 64; i++)
    if (i % 16 == static_cast<int>(threadIdx.x) % 16) memcpy(&out[4 * threadIdx.x + i / 16], &sums[i], sizeof(Word));
}

// Rows [0, 64) by rows [64, 192).
template <class Operand, class Word>
__global__ void __launch_bounds__(probe_threads) probe_boxes(const __grid_constant__ TensorMap map, Word* out) {
  if constexpr (compiled_for_hopper) {
    using Ring = BoxRing<Operand>;
    Ring& ring = *shared_memory<Ring>();
    if (threadIdx.x == 0) {
      ring.initialize();
      publish_barriers();
      arrive_expecting(ring.full[0], 2 * sizeof(typename Ring::Box));
      copy_box(ring.of_rows[0][0], map, 0, 0, ring.full[0]);
      copy_box(ring.of_columns[0][0], map, 64, 0, ring.full[0]);
    }
    __syncthreads();  // the barriers are initialized
    RingReader<Operand> reader(ring);
    const int stage = reader.take();
    float sums[64];
    fence_products();
    multiply_box<Operand>(sums, reader.rows(stage, 0), reader.columns(stage, 0), false);
    commit_products();
    wait_for_products<0>(sums);
    store_some(sums, out);
  } else {
    trap();
  }
}

// Registers with the numbers of rows [0, 128) times rows [64, 192), which are the depth and 104 numbers long.
template <class Operand, class Word>
__global__ void __launch_bounds__(probe_threads) probe_weights(const __grid_constant__ TensorMap map, Word* out) {
  if constexpr (compiled_for_hopper) {
    using Ring = ResidentRing<Operand>;
    using Reader = ResidentReader<Operand>;
    Ring& ring = *shared_memory<Ring>();
    if (threadIdx.x == 0) {
      ring.initialize();
      publish_barriers();
      ResidentWriter<Operand> writer(ring, map);
      writer.load_rows(0);
      writer.load_columns(64);
    }
    __syncthreads();  // the barriers are initialized
    Reader reader(ring);
    reader.wait_for_rows();
    const int stage = reader.take();
    typename Reader::Weights weights;
    memcpy(weights, ring.of_rows[0] + threadIdx.x * sizeof weights / sizeof(std::uint16_t), sizeof weights);
    float sums[64];
#pragma unroll
    for (float& sum : sums) sum = 0;
    fence_products();
    reader.multiply_weights(sums, weights, stage);
    commit_products();
    wait_for_products<0>(sums);
    store_some(sums, out);
  } else {
    trap();
  }
}

}  // namespace gramless::cuda
