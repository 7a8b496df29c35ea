#include "adam/adam.h"

#include <cmath>

#include "arrays.h"
#include "bindings.h"

namespace py = pybind11;

namespace {

// theta, m and v are written, so they may not be converted or copied on the way.
template <typename REAL>
void update(In<REAL> theta, const In<REAL>& grad, In<REAL> m, In<REAL> v, double lr, double beta1,
            double beta2, double eps, long step, double weight_decay, double scale) {
    const double rate = lr / (1.0 - std::pow(beta1, double(step)));
    const double root = 1.0 / std::sqrt(1.0 - std::pow(beta2, double(step)));
    const AdamStep<REAL> s{REAL(scale),       REAL(beta1), REAL(1.0 - beta1),
                           REAL(beta2),       REAL(1.0 - beta2), REAL(rate),
                           REAL(root),        REAL(eps),   REAL(lr * weight_decay)};
    REAL *to_theta = theta.mutable_data(), *to_m = m.mutable_data(), *to_v = v.mutable_data();
    const REAL* g = grad.data();
    const long n = long(theta.size());
    py::gil_scoped_release released;
    adam_update_all(to_theta, g, to_m, to_v, n, s);
}

template <typename REAL>
void bind(py::module_& module) {
    module.def("update", &update<REAL>, py::arg("theta").noconvert(), py::arg("grad"),
               py::arg("m").noconvert(), py::arg("v").noconvert(), py::arg("lr"), py::arg("beta1"),
               py::arg("beta2"), py::arg("eps"), py::arg("step"), py::arg("weight_decay"),
               py::arg("scale"));
}

}  // namespace

BH_BINDING(adam) {
    bind<float>(module);
    bind<double>(module);
}
