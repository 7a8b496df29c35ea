#include "gaussian_sample/gaussian_sample.h"

#include "arrays.h"
#include "bindings.h"

namespace py = pybind11;

namespace {

// The usual calls are checked here alone (kernels/gaussian_sample/__init__.py).
inline void must_be(bool right) {
    if (!right) throw py::value_error("gaussian_sample: a shape does not fit");
}

inline bool same_shape(const py::array& a, const py::array& b, py::ssize_t axes) {
    return a.ndim() == axes && std::equal(a.shape(), a.shape() + axes, b.shape());
}

// stats (..., 2 Z), x (K, ..., Z), any number of axes in front.
inline SampleSizes sizes_of(const py::array& stats, const py::array& x) {
    const py::ssize_t axes = stats.ndim(), lead = x.ndim() - axes;
    must_be(axes > 0 && lead >= 0);
    SampleSizes s{1, 1, long(x.shape(x.ndim() - 1))};
    must_be(stats.shape(axes - 1) == 2 * s.cols);
    for (py::ssize_t i = 0; i < lead; ++i) s.samples *= long(x.shape(i));
    for (py::ssize_t i = 0; i + 1 < axes; ++i) {
        must_be(stats.shape(i) == x.shape(lead + i));
        s.rows *= long(stats.shape(i));
    }
    return s;
}

// x as a caller gets it whose backward reads the same memory: as backhand.outputs.kept.
template <typename REAL>
py::array kept(const Out<REAL>& x) {
    py::array view(x.dtype(), shape_of(x), Shape(x.strides(), x.strides() + x.ndim()), x.data(), x);
    py::detail::array_proxy(view.ptr())->flags &= ~py::detail::npy_api::NPY_ARRAY_WRITEABLE_;
    return view;
}

// z as the caller gets it, log_q, log_n, and z as it is saved.
template <typename REAL>
py::tuple forward(const In<REAL>& stats, const In<REAL>& eps) {
    const SampleSizes sizes = sizes_of(stats, eps);
    Shape shape = shape_of(eps);
    Out<REAL> z(shape);
    shape.pop_back();
    Out<REAL> log_q(shape), log_n(shape);
    REAL *to_z = z.mutable_data(), *to_q = log_q.mutable_data(), *to_n = log_n.mutable_data();
    const REAL *s = stats.data(), *e = eps.data();
    {
        py::gil_scoped_release released;
        gaussian_sample_forward(to_z, to_q, to_n, s, e, sizes);
    }
    return py::make_tuple(kept(z), log_q, log_n, z);
}

template <typename REAL>
py::tuple backward(const In<REAL>& dz, const In<REAL>& d_log_q, const In<REAL>& d_log_n,
                   const In<REAL>& stats, const In<REAL>& eps, const In<REAL>& z, bool need_eps) {
    const SampleSizes sizes = sizes_of(stats, eps);
    const py::ssize_t axes = eps.ndim();
    must_be(same_shape(z, eps, axes) && same_shape(dz, eps, axes) &&
            same_shape(d_log_q, eps, axes - 1) && same_shape(d_log_n, eps, axes - 1));
    Out<REAL> dstats(shape_of(stats));
    py::object deps = py::none();
    REAL *to_stats = dstats.mutable_data(), *to_eps = nullptr;
    if (need_eps) {
        Out<REAL> made(shape_of(eps));
        to_eps = made.mutable_data();
        deps = made;
    }
    const REAL *d = dz.data(), *q = d_log_q.data(), *n = d_log_n.data();
    const REAL *s = stats.data(), *e = eps.data(), *x = z.data();
    {
        py::gil_scoped_release released;
        gaussian_sample_backward(to_stats, to_eps, d, q, n, s, e, x, sizes);
    }
    return py::make_tuple(dstats, deps);
}

}  // namespace

BH_BINDING(gaussian_sample) {
    const auto x = py::arg().noconvert();
    module.def("forward", &forward<float>, x, x);
    module.def("forward", &forward<double>, x, x);
    module.def("backward", &backward<float>, x, x, x, x, x, x, py::arg());
    module.def("backward", &backward<double>, x, x, x, x, x, x, py::arg());
    refuse_others(module, "forward");
    refuse_others(module, "backward");
}
