#include "importance_weights/importance_weights.h"

#include <algorithm>

#include "arrays.h"
#include "bindings.h"

namespace py = pybind11;

namespace {

template <typename REAL>
py::tuple forward(const In<REAL>& log_w) {
    const long K = log_w.shape(0), B = log_w.shape(1);
    Out<REAL> bound(B), top(B), total(B);
    REAL *out = bound.mutable_data(), *to_top = top.mutable_data();
    REAL* to_total = total.mutable_data();
    const REAL* in = log_w.data();
    {
        py::gil_scoped_release released;
        importance_weights_forward(out, to_top, to_total, in, K, B);
    }
    return py::make_tuple(bound, top, total);
}

template <typename REAL>
Out<REAL> backward(const In<REAL>& d_bound, const In<REAL>& log_w, const In<REAL>& top,
                   const In<REAL>& total, bool dreg) {
    const long K = log_w.shape(0), B = log_w.shape(1);
    Out<REAL> d_log_w(shape_of(log_w));
    REAL* out = d_log_w.mutable_data();
    const REAL *d = d_bound.data(), *in = log_w.data(), *t = top.data(), *s = total.data();
    {
        py::gil_scoped_release released;
        importance_weights_backward(out, d, in, t, s, dreg, K, B);
    }
    return d_log_w;
}

// The normalised weights: what a bound's gradient of 1 gives.
template <typename REAL>
Out<REAL> weights(const In<REAL>& log_w, const In<REAL>& top, const In<REAL>& total) {
    Out<REAL> ones(log_w.shape(1));
    std::fill_n(ones.mutable_data(), ones.size(), REAL(1));
    return backward<REAL>(ones, log_w, top, total, false);
}

}  // namespace

BH_BINDING(importance_weights) {
    module.def("forward", &forward<float>);
    module.def("forward", &forward<double>);
    module.def("backward", &backward<float>);
    module.def("backward", &backward<double>);
    module.def("weights", &weights<float>);
    module.def("weights", &weights<double>);
}
