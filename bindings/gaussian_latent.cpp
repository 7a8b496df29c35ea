#include "gaussian_latent/gaussian_latent.h"

#include "arrays.h"
#include "bindings.h"

namespace py = pybind11;

namespace {

// mean, logvar: n elements; eps: samples * n.
template <typename REAL>
py::tuple forward(const In<REAL>& mean, const In<REAL>& logvar, const In<REAL>& eps) {
    Out<REAL> z(shape_of(eps)), kl(shape_of(mean));
    const long n = long(mean.size()), samples = n ? long(eps.size()) / n : 0;
    REAL *to_z = z.mutable_data(), *to_kl = kl.mutable_data();
    const REAL *m = mean.data(), *l = logvar.data(), *e = eps.data();
    {
        py::gil_scoped_release released;
        gaussian_latent_forward(to_z, to_kl, m, l, e, samples, n);
    }
    return py::make_tuple(z, kl);
}

template <typename REAL>
py::tuple backward(const In<REAL>& dz, const In<REAL>& dkl, const In<REAL>& mean,
                   const In<REAL>& logvar, const In<REAL>& eps, bool need_eps) {
    Out<REAL> dmean(shape_of(mean)), dlogvar(shape_of(mean));
    py::object deps = py::none();
    REAL* to_eps = nullptr;
    if (need_eps) {
        Out<REAL> made(shape_of(eps));
        to_eps = made.mutable_data();
        deps = made;
    }
    const long n = long(mean.size()), samples = n ? long(eps.size()) / n : 0;
    REAL *to_mean = dmean.mutable_data(), *to_logvar = dlogvar.mutable_data();
    const REAL *d = dz.data(), *k = dkl.data(), *m = mean.data(), *l = logvar.data();
    const REAL* e = eps.data();
    {
        py::gil_scoped_release released;
        gaussian_latent_backward(to_mean, to_logvar, to_eps, d, k, m, l, e, samples, n);
    }
    return py::make_tuple(dmean, dlogvar, deps);
}

}  // namespace

BH_BINDING(gaussian_latent) {
    module.def("forward", &forward<float>);
    module.def("forward", &forward<double>);
    module.def("backward", &backward<float>);
    module.def("backward", &backward<double>);
}
