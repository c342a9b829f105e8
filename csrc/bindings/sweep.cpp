// A sweep in parts for Python: the raw sums are one numpy array, which may be stored, sent and continued.
#include "bindings/python_types.hpp"
#include "ops/dispatch/backends.hpp"
#include "ops/hsic/hsic_problem.hpp"

namespace gramless {
namespace {

class Sweep {
 public:
  Sweep(py::sequence xs, py::sequence ys, const py::sequence& kernels_x, const py::sequence& kernels_y,
        const std::string& estimator_name, const std::string& space_name)
      : xs_(std::move(xs)), ys_(std::move(ys)) {
    const std::vector<LayerInput> x = layer_inputs(xs_, kernels_x), y = layer_inputs(ys_, kernels_y);
    std::vector<LayerInput> all = x;
    all.insert(all.end(), y.begin(), y.end());
    PythonMonitor monitor((py::none()));
    how_ = execution(all, monitor);
    const Estimator which = estimator(estimator_name);
    const Space where = space(space_name);
    const Unlocked unlocked;
    problem_ = std::make_unique<HsicProblem>(hsic_problem(x, y, which, where, current_backend(), how_));
    how_.monitor = {};
  }

  std::int64_t parts() const { return problem_->parts(); }
  std::size_t sums_length() const { return problem_->sums_length(); }

  void add_part(std::int64_t part, py::array_t<double, py::array::c_style>& sums, py::object progress) const {
    if (part < 0 || part >= parts()) throw py::index_error("there is no such part");
    const std::span<double> all(sums.mutable_data(), checked(sums));
    PythonMonitor monitor(std::move(progress));
    Execution how = how_;
    how.monitor = monitor.monitor();
    const Unlocked unlocked;
    problem_->add_parts(part, part + 1, all, how);
  }

  // (hsic_xy, hsic_xx, hsic_yy, mean_x, mean_y, diagonal_x, diagonal_y, sigmas, exponents), as `hsic_matrix`.
  py::tuple values(const py::array_t<double, py::array::c_style>& sums) {
    checked(sums);
    HsicValues found;
    {
      std::vector<double> copied(sums.data(), sums.data() + sums.size());
      const Unlocked unlocked;
      found = problem_->values(std::move(copied));
    }
    return hsic_tuple(found, xs_.size(), ys_.size());
  }

 private:
  std::size_t checked(const py::array& sums) const {
    if (static_cast<std::size_t>(sums.size()) != sums_length()) throw py::value_error("the sums have another length");
    return sums_length();
  }

  const py::sequence xs_, ys_;  // whose memory the problem reads
  Execution how_;
  std::unique_ptr<HsicProblem> problem_;
};

}  // namespace

void bind_sweep(py::module_& module) {
  py::class_<Sweep>(module, "Sweep")
      .def(py::init<py::sequence, py::sequence, const py::sequence&, const py::sequence&, const std::string&,
                    const std::string&>())
      .def_property_readonly("parts", &Sweep::parts)
      .def_property_readonly("sums_length", &Sweep::sums_length)
      .def("add_part", &Sweep::add_part, py::arg("part"), py::arg("sums").noconvert(), py::arg("progress") = py::none())
      .def("values", &Sweep::values);
}

}  // namespace gramless
