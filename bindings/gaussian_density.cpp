#include "gaussian_density/gaussian_density.h"

#include "arrays.h"
#include "bindings.h"

namespace py = pybind11;

namespace {

template <typename REAL>
GaussianSizes sizes_of(const In<REAL>& x, const In<REAL>& mean, const In<REAL>& logvar) {
    long rows = 1, all = 1;
    for (py::ssize_t i = 0; i + 1 < x.ndim(); ++i) rows *= long(x.shape(i));
    for (py::ssize_t i = 0; i + 1 < mean.ndim(); ++i) all *= long(mean.shape(i));
    return {rows ? all / rows : 0, rows, long(x.shape(x.ndim() - 1)), logvar.ndim() < mean.ndim()};
}

template <typename REAL>
Out<REAL> forward(const In<REAL>& x, const In<REAL>& mean, const In<REAL>& logvar) {
    Shape shape = shape_of(mean);
    shape.pop_back();
    Out<REAL> logp(shape);
    const GaussianSizes sizes = sizes_of(x, mean, logvar);
    REAL* out = logp.mutable_data();
    const REAL *data = x.data(), *m = mean.data(), *l = logvar.data();
    {
        py::gil_scoped_release released;
        gaussian_density_forward(out, data, m, l, sizes);
    }
    return logp;
}

template <typename REAL>
py::tuple backward(const In<REAL>& d_logp, const In<REAL>& x, const In<REAL>& mean,
                   const In<REAL>& logvar, bool need_x) {
    Out<REAL> dmean(shape_of(mean)), dlogvar(shape_of(logvar));
    const GaussianSizes sizes = sizes_of(x, mean, logvar);
    REAL *to_mean = dmean.mutable_data(), *to_logvar = dlogvar.mutable_data(), *to_x = nullptr;
    py::object dx = py::none();
    if (need_x) {
        Out<REAL> made(shape_of(x));
        to_x = made.mutable_data();
        dx = made;
    }
    const REAL *d = d_logp.data(), *data = x.data(), *m = mean.data(), *l = logvar.data();
    {
        py::gil_scoped_release released;
        gaussian_density_backward(to_x, to_mean, to_logvar, d, data, m, l, sizes);
    }
    return py::make_tuple(dx, dmean, dlogvar);
}

}  // namespace

BH_BINDING(gaussian_density) {
    module.def("forward", &forward<float>);
    module.def("forward", &forward<double>);
    module.def("backward", &backward<float>);
    module.def("backward", &backward<double>);
}
