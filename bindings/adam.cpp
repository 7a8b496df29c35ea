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
    const Shape shape = shape_of(theta);
    if (shape.size() != 1 || shape_of(grad) != shape || shape_of(m) != shape ||
        shape_of(v) != shape)
        throw py::value_error("adam: vectors of one length");
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
    const auto x = py::arg().noconvert();
    const auto number = py::arg();
    module.def("update", &update<REAL>, x, x, x, x, number, number, number, number, number, number,
               number);
}

}  // namespace

BH_BINDING(adam) {
    bind<float>(module);
    bind<double>(module);
    refuse_others(module, "update");
}
