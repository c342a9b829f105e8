// The median distance of one array's rows on the device: prepares the rows, then selects.
#include "ops/dispatch/check_matrix.hpp"
#include "ops/dispatch/visit_operand.cuh"
#include "ops/hsic/row_limits.cuh"
#include "ops/median/median.cuh"

namespace gramless::cuda {
namespace {

template <class Operand>
class MedianOfRows {
 public:
  explicit MedianOfRows(const MedianTask& task, void* scratch = nullptr)
      : task_(task), layout_(scratch), x_(task.x, layout_), median_(task.x.rows, layout_) {}

  std::size_t bytes() const { return layout_.bytes(); }
  const char* run(void* stream) const {
    LaunchStream launches(stream);
    x_.pack(launches);
    median_.run(x_.layer(), task_.include_diagonal, task_.median, launches);
    return launches.error();
  }

 private:
  MedianTask task_;
  DeviceLayout layout_;
  DeviceRepresentation<Operand> x_;
  DeviceMedian<Operand> median_;
};

const char* error_in_median(const MedianTask& task) {
  if (const char* error = error_in_matrix(task.x, task.operand)) return error;
  if (const char* error = too_many_for_rounds(task.x.rows, task.operand)) return error;
  return task.x.rows < 2 ? "median_distance: x has fewer than 2 rows" : nullptr;
}

}  // namespace

std::size_t median_scratch_bytes(const MedianTask& task) {
  if (error_in_median(task) != nullptr) return 0;
  return visit_operand(task.operand, [&]<class Operand>() { return MedianOfRows<Operand>(task).bytes(); });
}

const char* median_squared_distance(const MedianTask& task, void* scratch, void* stream) {
  if (const char* error = error_in_median(task)) return error;
  return visit_operand(task.operand, [&]<class Operand>() { return MedianOfRows<Operand>(task, scratch).run(stream); });
}

}  // namespace gramless::cuda
