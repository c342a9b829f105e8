// Walk along a block of rows -> logits of student and teacher -> each row's sums: the CUDA twin of distill_sums.cpp.
#include "ops/distillation/distill_sums.cuh"

#include "engine/tile/owned.cuh"
#include "epilogues/logit.cuh"

namespace gramless::cuda {
namespace {

// TeacherSums of one row over some of its columns.
struct DistillState {
  double student_shift = -INFINITY, student = 0, teacher_shift = -INFINITY, teacher = 0, cross = 0;

  // Raises the shifts to the largest logits so far. A term of the cross sum grows by as much as the student's shift.
  __device__ void raise(double student_top, double teacher_top) {
    if (student_top > student_shift) {
      const double rise = student_top - student_shift;
      if (teacher != 0) cross += rise * teacher;  // 0 before the first pair
      student *= exp(-rise);
      student_shift = student_top;
    }
    if (teacher_top > teacher_shift) {
      const double factor = exp(teacher_shift - teacher_top);
      teacher *= factor;
      cross *= factor;
      teacher_shift = teacher_top;
    }
  }

  __device__ void merge(DistillState other) {
    raise(other.student_shift, other.teacher_shift);
    other.raise(student_shift, teacher_shift);
    student += other.student;
    teacher += other.teacher;
    cross += other.cross;
  }

  __device__ DistillState of_lane(int bits) const {
    return {__shfl_xor_sync(all_lanes, student_shift, bits), __shfl_xor_sync(all_lanes, student, bits),
            __shfl_xor_sync(all_lanes, teacher_shift, bits), __shfl_xor_sync(all_lanes, teacher, bits),
            __shfl_xor_sync(all_lanes, cross, bits)};
  }
};

// Adds row r of two tiles of dot products of the same pairs.
template <class Operand, class Tile>
__device__ void add_row(Tile& student, Tile& teacher, int r, const OwnedPairs& place,
                        const Logit<Operand> student_logit, const Logit<Operand> teacher_logit, DistillState& state) {
  using T = typename Operand::Value;
  T student_top = static_cast<T>(-INFINITY), teacher_top = student_top;
#pragma unroll
  for (int c = 0; c < Tile::own_cols; c++) {
    const bool owned = place.owns(student.row(r), student.col(c));
    const T s = student_logit(student.at(r, c)), t = teacher_logit(teacher.at(r, c));
    if (owned && s > student_top) student_top = s;  // NaN does not raise the shift and so reaches the sums
    if (owned && t > teacher_top) teacher_top = t;
  }
  state.raise(static_cast<double>(student_top), static_cast<double>(teacher_top));
  const T student_shift = static_cast<T>(state.student_shift), teacher_shift = static_cast<T>(state.teacher_shift);
  T student_sum = 0, teacher_sum = 0, cross = 0;
#pragma unroll
  for (int c = 0; c < Tile::own_cols; c++) {
    if (!place.owns(student.row(r), student.col(c))) continue;
    const T s = student_logit(student.at(r, c)), t = teacher_logit(teacher.at(r, c));
    const T weight = teacher_logit.running_weight(t, teacher_shift);
    student_sum += student_logit.running_weight(s, student_shift);
    teacher_sum += weight;
    cross += weight * (student_shift - s);
  }
  state.student += static_cast<double>(student_sum);
  state.teacher += static_cast<double>(teacher_sum);
  state.cross += static_cast<double>(cross);
}

// Block (x, y): a block of rows against a strip of columns.
template <class Operand>
__global__ void __launch_bounds__(DistillShape<Operand>::threads)
    sum_distill(DistillPairs<Operand> pairs, std::int64_t tiles, double* partials) {
  using Shape = DistillShape<Operand>;
  using Tile = DotTile<Operand, Shape>;
  const std::int64_t rows = pairs.student.rows.count;
  const auto [first, last] = tiles_of_strip(tiles);
  const std::int64_t first_row = std::int64_t{blockIdx.x} * Shape::rows;
  const Logit<Operand> student_logit = pairs.student.logits(), teacher_logit = pairs.teacher.logits();
  char* const memory = shared_memory<char>();
  Tile student(memory), teacher(memory);
  DistillState states[Tile::own_rows];
  for (std::int64_t t = first; t < last; t++) {
    const std::int64_t first_col = t * Shape::cols;
    const OwnedPairs place(first_row, rows, first_col, pairs.student.columns.count, false);
    teacher.multiply(pairs.teacher.rows.rows, first_row, pairs.teacher.columns.rows, first_col);
    student.multiply(pairs.student.rows.rows, first_row, pairs.student.columns.rows, first_col);
#pragma unroll
    for (int r = 0; r < Tile::own_rows; r++)
      add_row(student, teacher, r, place, student_logit, teacher_logit, states[r]);
  }
  partials += blockIdx.y * 5 * rows;
#pragma unroll
  for (int r = 0; r < Tile::own_rows; r++) {
    DistillState& state = states[r];
#pragma unroll
    for (int bits = 1; bits < 4; bits *= 2) state.merge(state.of_lane(bits));
    const std::int64_t i = first_row + student.row(r);
    if (threadIdx.x % 4 != 0 || i >= rows) continue;
    partials[i] = state.student_shift;
    partials[rows + i] = state.student;
    partials[2 * rows + i] = state.teacher_shift;
    partials[3 * rows + i] = state.teacher;
    partials[4 * rows + i] = state.cross;
  }
}

// Merges a row's strips, in their order: loss_i = -sum_j p_ij log q_ij.
__global__ void finish_distill(const double* partials, std::int64_t strips, std::int64_t rows, TeacherSums sums,
                               double* losses) {
  const std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i >= rows) return;
  DistillState state;
  for (std::int64_t strip = 0; strip < strips; strip++) {
    const double* const from = partials + strip * 5 * rows + i;
    state.merge({from[0], from[rows], from[2 * rows], from[3 * rows], from[4 * rows]});
  }
  sums.student_shift[i] = state.student_shift;
  sums.student[i] = state.student;
  sums.teacher_shift[i] = state.teacher_shift;
  sums.teacher[i] = state.teacher;
  losses[i] = log(state.student) + state.cross / state.teacher;
}

}  // namespace

template <class Operand>
DistillSums<Operand>::DistillSums(std::int64_t rows, std::int64_t columns, DeviceLayout& layout)
    : rows_(rows),
      strips_(launch_strips<Operand>(rows, columns, 1, blocks_at_once(of_device))),
      partials_(layout.take<double>(strips_ * 5 * rows)) {}

template <class Operand>
void DistillSums<Operand>::run(const DistillPairs<Operand>& pairs, const TeacherSums& sums, double* losses,
                               LaunchStream& launches) const {
  using Shape = DistillShape<Operand>;
  const std::int64_t tiles = blocks_of(pairs.student.columns.count, Shape::cols);
  launches.launch(sum_distill<Operand>,
                  {static_cast<unsigned>(blocks_of(rows_, Shape::rows)), static_cast<unsigned>(strips_)},
                  Shape::threads, DotTile<Operand, Shape>::ring_bytes, pairs, tiles, partials_);
  launches.launch(finish_distill, {static_cast<unsigned>(blocks_of(rows_, 256))}, 256, 0, partials_, strips_, rows_,
                  sums, losses);
}

template class DistillSums<SplitOperand>;
template class DistillSums<DoubleOperand>;

}  // namespace gramless::cuda
