// Walk along a block of rows -> derivatives with respect to the student's logits -> gradients of its rows: the CUDA
// twin of distill_grad.cpp.
#include "ops/distillation/distill_grad.cuh"

#include "engine/tile/owned.cuh"
#include "epilogues/logit.cuh"

namespace gramless::cuda {
namespace {

// How many slices of a row's gradient fit into registers beside the two tiles.
constexpr int grad_slices = 4;

template <class Operand>
struct GradTask {
  DistillPairs<Operand> pairs;
  DeviceTeacherCoefficients<typename Operand::Value> rows;
  std::int64_t padded_rows;
  typename Operand::Value* partials;  // (strips, padded rows, stride)
};

// The student's dot products become derivatives; what the tile does not own becomes 0.
template <class Operand, class Tile>
__device__ void differentiate(Tile& student, Tile& teacher, const GradTask<Operand>& task, std::int64_t first_row,
                              std::int64_t first_col) {
  using T = typename Operand::Value;
  const DevicePairs<Operand>&of_student = task.pairs.student, &of_teacher = task.pairs.teacher;
  const Logit<Operand> student_logit = of_student.logits(), teacher_logit = of_teacher.logits();
  const OwnedPairs place(first_row, of_student.rows.count, first_col, of_student.columns.count, false);
#pragma unroll
  for (int r = 0; r < Tile::own_rows; r++) {
    forget_loads();  // values are read again, for no registers are left
    const std::int64_t i = first_row + student.row(r);
    const T student_shift = task.rows.student_shift[i], student_factor = task.rows.student_factor[i],
            teacher_shift = task.rows.teacher_shift[i], teacher_factor = task.rows.teacher_factor[i];
#pragma unroll
    for (int c = 0; c < Tile::own_cols; c++) {
      const T s = student_logit(student.at(r, c)), t = teacher_logit(teacher.at(r, c));
      const T derivative = student_logit.running_weight(s, student_shift) * student_factor -
                           teacher_logit.running_weight(t, teacher_shift) * teacher_factor;
      student.at(r, c) = place.owns(student.row(r), student.col(c)) ? derivative : T(0);
    }
  }
}

// Block (x, y, z): a block of rows against a strip of columns, for some of the student's width.
template <class Operand>
__global__ void __launch_bounds__(DistillShape<Operand>::threads)
    distill_grad_of_rows(GradTask<Operand> task, std::int64_t tiles) {
  using Shape = DistillShape<Operand>;
  using Tile = DotTile<Operand, Shape>;
  using Product = TimesRows<Operand, Shape, grad_slices>;
  static_assert(Product::block_bytes <= Tile::ring_bytes);
  const DevicePairs<Operand>&of_student = task.pairs.student, &of_teacher = task.pairs.teacher;
  const auto [first, last] = tiles_of_strip(tiles);
  const std::int64_t first_row = std::int64_t{blockIdx.x} * Shape::rows;
  const SliceRange slices = Product::slices_of_block(of_student.rows.rows.slices);
  char* const memory = shared_memory<char>();
  Tile student(memory), teacher(memory);
  Product product(memory);
  for (std::int64_t t = first; t < last; t++) {
    const std::int64_t first_col = t * Shape::cols;
    teacher.multiply(of_teacher.rows.rows, first_row, of_teacher.columns.rows, first_col);
    student.multiply(of_student.rows.rows, first_row, of_student.columns.rows, first_col);
    product.load(of_student.columns.rows, first_col, slices);  // copied while tiles are differentiated
    differentiate(student, teacher, task, first_row, first_col);
    product.add(student, slices.count);
  }
  product.store(task.partials, task.padded_rows, first_row, of_student.rows.rows.stride(), slices);
}

}  // namespace

template <class Operand>
DistillGrad<Operand>::DistillGrad(std::int64_t rows, std::int64_t columns, std::int64_t width, DeviceLayout& layout)
    : rows_(rows) {
  const std::int64_t slices = blocks_of(width, slice_elements<Operand>);
  chunks_ = static_cast<int>(blocks_of(slices, grad_slices));
  strips_ = launch_strips<Operand>(rows, columns, chunks_, blocks_at_once(of_device));
  partials_ =
      layout.take<Value>(strips_ * DeviceContrastRows<Operand>::padded(rows) * slices * slice_elements<Operand>);
}

template <class Operand>
void DistillGrad<Operand>::run(const DistillPairs<Operand>& pairs, const DeviceTeacherCoefficients<Value>& coefficients,
                               LaunchStream& launches) const {
  using Shape = DistillShape<Operand>;
  const GradTask<Operand> task{pairs, coefficients, DeviceContrastRows<Operand>::padded(rows_), partials_};
  launches.launch(distill_grad_of_rows<Operand>,
                  {static_cast<unsigned>(blocks_of(rows_, Shape::rows)), static_cast<unsigned>(strips_),
                   static_cast<unsigned>(chunks_)},
                  Shape::threads, DotTile<Operand, Shape>::ring_bytes, task,
                  blocks_of(pairs.student.columns.count, Shape::cols));
}

template class DistillGrad<SplitOperand>;
template class DistillGrad<DoubleOperand>;

}  // namespace gramless::cuda
